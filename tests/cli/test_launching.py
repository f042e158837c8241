"""`accelerate launch` on CPUs: as many processes as it was asked for, of which one writes and prints."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from accelerate.state import AcceleratorState

from recommender import adapters
from recommender.cli import launching
from recommender.cli.launching import processes_of, start_all_processes
from recommender.errors import ConfigError
from tests.cli.conftest import refused
from tests.conftest import write_tables
from tests.copies import begin_command, run_here

SHIPPED = Path(adapters.__file__).parent / "accelerate"
STAGE = {"stage": "rank", "epochs": 9, "max_steps": 5, "batch_tokens": 192, "row_tokens": 64, "learning_rate": 3e-4}


@pytest.fixture
def recipe(catalogue, histories, llm_folder, tmp_path) -> Path:
    raw = {
        "data": write_tables(tmp_path, catalogue, histories),
        "base": {"llm": str(llm_folder), "dtype": "float32", "rank_layers": 2},
        "encoders": {"text": None, "image": None, "audio": None, "collaborative_width": 4},
        "lora": {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0},
        "prompt": {"history": 6, "titled": 2, "noun": "films"},
        "training": {"stages": [STAGE | {"modality_dropout": 0.0, "row_dropout": 0.0}]},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def log_of(output: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((output.with_name(f"{output.name}.training") / "log.csv").open()))


class Copy:
    """In place of `subprocess.Popen`: a copy of this process runs the command, without the imports of a new one."""

    def __init__(self, command, env):
        assert command[:3] == [sys.executable, "-m", "recommender"]
        self._process = multiprocessing.get_context("fork").Process(target=self._run, args=(command[3:], env))
        self._process.start()
        self.send_signal = lambda number: os.kill(self._process.pid, number)
        self.kill = self._process.kill

    @staticmethod
    def _run(arguments, environment):
        os.environ |= environment
        AcceleratorState._reset_state(True)  # of the training before
        run_here(arguments, streams=(0, 1, 2))

    def poll(self):
        return self._process.exitcode

    def wait(self, seconds=None):
        self._process.join(seconds)
        return self._process.exitcode


def by_copies(arguments, folder, monkeypatch):
    """What `by_accelerate` does, without accelerate itself: it tells how many processes there are to be."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setattr(launching, "_asked_for", lambda: 2)
    monkeypatch.setattr(launching.subprocess, "Popen", Copy)
    with (folder / "out").open("w+") as out, (folder / "err").open("w+") as err, open(os.devnull) as nothing:
        process = begin_command(*arguments, streams=[nothing.fileno(), out.fileno(), err.fileno()])
        process.join(120)
        return process.exitcode, (folder / "out").read_text(), (folder / "err").read_text()


def by_accelerate(arguments, folder, monkeypatch):
    """Return exit code, output and errors of the command in two processes."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2", "--cpu", "-m", "recommender"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=600, env=environment)
    return done.returncode, done.stdout, done.stderr


# the launcher imports everything in four processes
@pytest.mark.parametrize(
    ("softmax", "launched"), [pytest.param("full", by_accelerate, marks=pytest.mark.slow), ("sampled", by_copies)]
)
def test_two_processes_train_as_one_does_and_one_of_them_speaks(recipe, run, tmp_path, monkeypatch, softmax, launched):
    one, two = tmp_path / "one", tmp_path / "two"
    raw = yaml.safe_load(recipe.read_text())
    raw["training"] |= {"softmax": softmax, "negatives": 8}
    recipe.write_text(yaml.safe_dump(raw))
    # each part of a step draws its own negatives: one process in two parts draws what two processes draw
    code, _, said = run("train", "--config", recipe, "--output", one, "-q", "--set", "training.gradient_accumulation=2")
    assert code == 0, said
    arguments = ["train", "--config", str(recipe), "--output", str(two), "--json"]
    code, out, said = launched(arguments, tmp_path, monkeypatch)
    assert code == 0, said
    (told,) = json.loads(out)
    assert told["stage"] == "rank" and told["steps"] == STAGE["max_steps"]
    assert said.count(f"{STAGE['max_steps']}/{STAGE['max_steps']}") == 1
    for column in ("loss", "validation"):
        values = [[float(row[column]) for row in log_of(folder) if row[column]] for folder in (one, two)]
        assert values[0]
        np.testing.assert_allclose(*values, rtol=5e-3, atol=0.05 * (column == "validation"))
    assert {path.name for path in one.iterdir()} == {path.name for path in two.iterdir()}


@pytest.mark.slow
def test_deepspeed_on_two_processes_trains_as_one_does(recipe, run, tmp_path):
    pytest.importorskip("deepspeed", reason="needs `pip install deepspeed`")
    one, two = tmp_path / "one", tmp_path / "two"
    code, _, said = run("train", "--config", recipe, "--output", one, "-q")
    assert code == 0, said
    told = yaml.safe_load((SHIPPED / "deepspeed_zero2.yaml").read_text()) | {"use_cpu": True}
    (tmp_path / "deepspeed.yaml").write_text(yaml.safe_dump(told))
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(tmp_path / "deepspeed.yaml")]
    command += ["-m", "recommender", "train", "--config", str(recipe), "--output", str(two), "-q"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr
    values = [[float(row["loss"]) for row in log_of(folder) if row["loss"]] for folder in (one, two)]
    assert values[0]
    np.testing.assert_allclose(*values, rtol=1e-3)


def test_a_gpu_that_is_not_there_is_one_clear_line(recipe, run, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    told = run("train", "--config", recipe, "--output", tmp_path / "none", "--set", "base.device=cuda")
    refused(told, "base.device is cuda, but no GPU is there")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("--num_processes 2 --cpu -m recommender train", 2),
        ("--cpu --num-processes=3 -m recommender train", 3),
        (f"--config_file {SHIPPED / 'cpu2.yaml'} -m recommender train --config x.yaml", 2),
        (f"--config_file {SHIPPED / 'cpu2.yaml'} --num_processes 4 -m recommender train", 4),
        ("--num_processes 2 --num_machines 2 --cpu -m recommender train", None),
        ("-m recommender train --config x.yaml", None),
    ],
)
def test_the_number_is_the_one_that_accelerate_was_told(words, count):
    assert processes_of(words.split()) == count


def test_a_number_that_cannot_be_told_is_one_clear_line(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(ConfigError, match="asked for several processes on CPUs, and started one") as error:
        start_all_processes()
    assert "torchrun" in str(error.value.hint)
    monkeypatch.setenv("WORLD_SIZE", "2")
    start_all_processes()  # one of those that were started


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_the_files_that_ship(path):
    from accelerate.commands.config.config_args import load_config_from_file

    read = load_config_from_file(str(path))
    assert read.num_processes == 2 and read.mixed_precision == "no"
    assert {"fsdp2": read.fsdp_config.get("fsdp_version") == 2}.get(path.stem, True)
