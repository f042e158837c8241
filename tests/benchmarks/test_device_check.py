"""A device beside float32 on the CPU; and the script for a GPU, whose commands are run here on the CPU."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest
import torch

from recommender.benchmarks import device_check
from recommender.benchmarks.device_check import bench_device
from recommender.errors import ConfigError
from recommender.model.checkpoint import save_pretrained
from tests.cli.conftest import refused, run
from tests.conftest import write_tables

__all__ = ["run"]
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.sh"


@pytest.fixture
def saved(make_checkpoint, config, catalogue, histories, tmp_path) -> str:
    tables = {f"data.{name}": path for name, path in write_tables(tmp_path, catalogue, histories).items()}
    save_pretrained(make_checkpoint(1, config.updated(tables)), tmp_path / "model")
    return str(tmp_path / "model")


def test_what_a_device_does_otherwise_shows(saved, monkeypatch):
    plain, rounded = bench_device(saved, "cpu", users=3, examples=4, rounds=1)
    assert (plain["format"], rounded["format"]) == ("float32", "bfloat16")
    assert plain["top 10"] == 1 and plain["loss apart"] < 1e-6 and plain["gradients apart"] < 1e-5
    assert 1e-4 < rounded["gradients apart"] < 0.5
    assert plain["rows apart"] < 1e-5 and 1e-4 < rounded["rows apart"] < 0.5
    assert all(row[name] > 0 for row in (plain, rounded) for name in ("lists a second", "tokens a second"))
    gradients = device_check._gradients

    def wrong(model, batches):
        loss, found = gradients(model, batches)
        off = 0 if model.peft.dtype == torch.float32 else 1
        return loss + off, {name: value * (1 + off) for name, value in found.items()}

    monkeypatch.setattr(device_check, "_gradients", wrong)
    _, rounded = bench_device(saved, "cpu", users=2, examples=2, rounds=1)
    assert rounded["gradients apart"] == pytest.approx(1, abs=0.2) and rounded["loss apart"] > 0.1


def test_a_gpu_that_is_not_there_is_said_before_anything_is_read(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no GPU is there"):
        bench_device("nowhere", "cuda")


def test_the_script_runs_on_the_cpu(saved, run, tmp_path):
    """Its commands are noted and run in this process: each by itself would import everything again."""
    noted = tmp_path / "noted"
    (tmp_path / "recommender").write_text(f'#!/bin/sh\nprintf "%s " "$@" >> {noted}\nprintf "\\n" >> {noted}\n')
    (tmp_path / "recommender").chmod(0o755)
    environment = os.environ | {"RECOMMENDER": str(tmp_path / "recommender"), "MODEL": saved}
    done = subprocess.run([SCRIPT, "--dry"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    commands = [shlex.split(line) for line in noted.read_text().splitlines()]
    assert [command[0] for command in commands] == ["env", "bench", "bench"]
    code, out, _ = run(*commands[-1])
    told = json.loads(out)
    assert code == 0 and told["settings"]["gradient checkpointing"] is True
    assert [row["device"] for row in told["rows"]] == ["cpu", "cpu"] and told["rows"][0]["loss apart"] < 1e-6
    assert subprocess.run([SCRIPT, "--wet"], capture_output=True).returncode == 2


def test_the_command_refuses_a_gpu_that_is_not_there(run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(run("bench", "device", "-q"), "base.device is cuda, but no GPU is there")
