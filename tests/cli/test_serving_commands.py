"""Export, and outputs that would replace something else."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from tests.cli.conftest import refused


def test_export_writes_plain_models(run, trained, tmp_path):
    options = ("--to", "transformers", "--full-precision", "--json", "-q")
    code, out, _ = run("export", trained, tmp_path / "plain", *options)
    report = json.loads(out)
    assert code == 0 and report["rank_difference"] < 1e-3 and report["same_items"] is None  # none was of 4 bits
    assert {p.name for p in (tmp_path / "plain").iterdir()} == {"rank", "write", "items.json"}


def test_an_output_that_would_replace_something_else(run, trained, recipe, tables, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for result in (
        run("train", "--config", recipe, "--output", tmp_path, "-q"),
        run("export", trained, tmp_path, "-q"),
        run("export", trained, trained, "-q"),
    ):
        refused(result, "a folder with other things in it", "name a new folder")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    code, _, err = run("recommend", trained, "--items", tables / "interactions.csv", "-q")
    assert code == 2 and "error: " in err  # the items of another catalogue
    (tmp_path / "thesis.txt").rename(tmp_path / "file")
    refused(run("train", "--config", recipe, "--output", tmp_path / "file" / "model", "-q"), "no folder that you may")


def test_export_in_8_bits_is_for_vllm(run, trained, tmp_path):
    refused(
        run("export", trained, tmp_path / "plain", "--bits", 8, "-q"), "--bits 8 writes what vLLM reads", "--to vllm"
    )
    code, out, _ = run("export", trained, tmp_path / "served", "--to", "vllm", "--bits", 8, "--json", "-q")
    assert code == 0 and json.loads(out)["rank_difference"] < 1e-3
    assert "compressed-tensors" in (tmp_path / "served" / "rank" / "config.json").read_text()


def test_batch_answers_a_file(run, trained, tmp_path):
    requests = [{"custom_id": "a", "history": ["103"], "k": 2}, {"custom_id": "b", "history": ["none"]}]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, requests)) + "\n")
    paths = ("--input", tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl")
    code, out, _ = run("batch", trained, *paths, "--json", "-q")
    first, second = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert code == 0 and json.loads(out) and (first["custom_id"], second["custom_id"]) == ("a", "b")
    assert len(first["items"]) == 2 and "none" in second["error"]["message"]


def test_batch_ranks_with_the_bits_that_are_named(run, trained, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"custom_id": "a", "history": ["103"], "k": 3, "explain": false}\n')

    def answered(output, *options):
        paths = ("--input", tmp_path / "in.jsonl", "--output", tmp_path / output)
        code, _, err = run("batch", trained, *paths, *options, "-q")
        assert code == 0, err
        return (tmp_path / output).read_text()

    assert answered("plain.jsonl") == answered("16.jsonl", "--bits", 16) != answered("4.jsonl", "--bits", 4)


@pytest.fixture
def served(monkeypatch):
    """Serve nothing; returns the limits and the names that a server would have had."""
    calls = []
    monkeypatch.setattr(
        "recommender.server.uvicorn_server.run_server", lambda app, limits, sockets: calls.append(limits)
    )
    return calls


def test_serve_takes_limits_from_options_and_settings(run, trained, served):
    options = ("--host", "0.0.0.0", "--insecure", "--port", 0, "--set", "waiting=3", "--set", "history=50", "-q")
    assert run("serve", trained, *options)[0] == 0
    (limits,) = served
    assert (limits.host, limits.port, limits.waiting, limits.history) == ("0.0.0.0", 0, 3, 50)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--set", "waiting"), "--set waiting: expected KEY=VALUE"),
        (("--set", "wating=3"), "did you mean"),
        (("--set", "decoding.bits=8"), "--bits"),
        (("--set", "decoding.beam=8"), "the keys of the section serving"),
        (("--set", "serving.waiting=8"), "--set waiting="),
        (("--engine", "vllm", "--bits", 8), "--engine vllm has no --bits"),
        (("--rank-url", "http://there"), "--engine embedded has no rank_url"),
        (("--engine", "vlm"), "did you mean vllm"),
    ],
)
def test_a_server_that_is_none(run, trained, served, options, said):
    refused(run("serve", trained, *options, "-q"), said)
    assert served == []


def test_a_port_that_is_taken_and_a_host_elsewhere_are_one_line(run, trained, served):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for host in ("127.0.0.1", "localhost", "0.0.0.0"):
            refused(run("serve", trained, "--host", host, "--port", port, "-q"), f"port {port} of", "taken", "--port")
        refused(run("serve", trained, "--set", f"port={port}", "-q"), f"port {port} of 127.0.0.1 is taken")
    for host in ("8.8.8.8", "nowhere.invalid", "1.2.3", "a" * 70, "2001:db8::1"):
        refused(run("serve", trained, "--host", host, "--port", 0, "-q"), f"host {host!r}", "--host")
    assert served == []


@pytest.mark.parametrize("module", ["fastapi", "uvicorn", "prometheus_client"])
def test_serving_without_its_extra_is_one_line(run, trained, served, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    refused(run("serve", trained, "-q"), f"recommender serve needs the package {module}", "recommender[server]")
    assert served == []


@pytest.mark.slow
def test_the_next_run_of_a_killed_export_removes_what_it_left(run, trained, tmp_path):
    command = [sys.executable, "-m", "recommender", "export", trained, tmp_path / "plain", "-q"]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    while not (left := list(tmp_path.glob(".plain.*.tmp"))):
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert left[0].is_dir() and not (tmp_path / "plain").exists()
    assert run("export", trained, tmp_path / "plain", "-q")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]
