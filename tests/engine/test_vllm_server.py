"""Processes of vLLM as others leave them: killed, left behind, started again. A small server stands for vLLM's."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests

from recommender.engine.guardian import end_group
from recommender.engine.vllm_server import KEY, PYTHON, VllmServer
from recommender.errors import RecommenderError

SERVER = """
import os, subprocess, sys, tempfile, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
if "broken" in sys.argv[sys.argv.index("--model") + 1]:
    sys.exit("an ERROR here: ValueError: no such model")
subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"])
tempfile.mkstemp()
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        ours = self.headers.get("Authorization") == "Bearer " + os.environ["VLLM_API_KEY"]
        self.send_response(200 if ours or self.path == "/health" else 401)
        self.end_headers()
    def log_message(self, *_): pass
HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""
PARENT = """
import sys
from pathlib import Path
from recommender.cli.stopping import unwinding_on_sigterm
from recommender.engine import vllm_server
from recommender.engine.vllm_server import VllmServer
ended = vllm_server.end_group
vllm_server.end_group = lambda group, grace=0: ended(group, 0.5)
with unwinding_on_sigterm():
    server = VllmServer(Path("model"), {}, constrained=False)
    try:
        server.wait()
        print(server.process.pid, flush=True)
        sys.stdin.read()
    finally:
        server.close()
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A Python whose vLLM is the small server, and a folder for all temporary files."""
    script, python, temporary = tmp_path / "server.py", tmp_path / "python", tmp_path / "tmp"
    script.write_text(SERVER)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    temporary.mkdir()
    monkeypatch.setenv(PYTHON, str(python))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr("recommender.engine.vllm_server._FIRST_PAUSE", 0.1)
    # one process of each server heeds no SIGTERM: it is given half a second instead of five or ten
    monkeypatch.setattr("recommender.engine.vllm_server.end_group", lambda group, grace=0: end_group(group, 0.5))
    return temporary


def group_of(pid):
    """Return the processes of a group that have not ended."""
    members = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if process.status() != psutil.STATUS_ZOMBIE and os.getpgid(process.pid) == pid:
                members.append(process.pid)
    return members


def within(seconds, is_so):
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


def started():
    server = VllmServer(Path("model"), {}, constrained=False)
    server.wait()
    return server


def test_a_server_asks_for_a_key_that_is_its_own(machine, monkeypatch):
    monkeypatch.delenv(KEY, raising=False)
    first, second = started(), started()
    try:
        assert len(first.key) > 30 and first.key != second.key
        command = psutil.Process(first.process.pid).cmdline()
        assert not any(first.key in word for word in command) and "127.0.0.1" in command
        assert requests.get(f"{first.url}/v1/models", timeout=5).status_code == 401
        assert requests.get(first.url, headers={"Authorization": f"Bearer {first.key}"}, timeout=5).ok
        assert stat.S_IMODE(first.scratch.stat().st_mode) == 0o700
        monkeypatch.setenv(KEY, "chosen")
        named = VllmServer(Path("model"), {}, constrained=False)
        assert named.key == "chosen"
        named.close()
    finally:
        first.close()
        second.close()


def test_what_is_closed_leaves_neither_processes_nor_files(machine):
    server = started()
    group = server.process.pid
    within(5, lambda: len(group_of(group)) == 2)
    server.close()
    assert not group_of(group) and not list(machine.iterdir())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_ends_is_started_again_without_its_orphans(machine, number):
    server = started()
    try:
        for _ in range(2):
            group = server.process.pid
            within(5, lambda group=group: len(group_of(group)) == 2)
            os.kill(group, number)
            within(20, lambda group=group: server.process.pid != group and server._answers())
            assert not group_of(group)
    finally:
        server.close()
    assert not group_of(server.process.pid) and not list(machine.iterdir())


def test_one_that_does_not_start_says_why_and_where_its_log_is(machine):
    server = VllmServer(Path("broken"), {}, constrained=False)
    with pytest.raises(RecommenderError, match="vLLM did not start") as error:
        server.wait()
    (log,) = machine.iterdir()
    assert str(log) in error.value.hint and "no such model" in log.read_text()


def ended(machine, number, pause):
    """Start a process that starts a server, end it, and return once everything is gone."""
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ) as parent:
        group = 0
        if pause is None:
            group = int(parent.stdout.readline())
        else:
            time.sleep(pause)
        parent.send_signal(number)
        assert parent.wait(30) == -number
    own = str(machine.parent)
    within(20, lambda: not group_of(group) if group else True)
    within(20, lambda: not [p for p in psutil.process_iter(["cmdline"]) if own in " ".join(p.info["cmdline"] or ())])
    within(20, lambda: not list(machine.iterdir()))


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_who_is_killed_leaves_neither_processes_nor_files(machine, number):
    ended(machine, number, None)


@pytest.mark.slow
def test_twenty_kills_at_any_moment_leave_nothing(machine):
    for kill in range(20):
        ended(machine, (signal.SIGKILL, signal.SIGTERM)[kill % 2], None if kill % 5 == 0 else 2 + 0.3 * kill)


@pytest.mark.parametrize(
    ("eight_bits", "amx", "flags", "dtype"),
    [
        (False, True, (), "float32"),
        (True, False, (), "float32"),
        (True, True, (), "bfloat16"),
        (True, True, ("--dtype=half",), "--dtype=half"),
    ],
)
def test_8_bit_matrices_are_multiplied_with_what_the_processor_s_kernel_takes(
    machine, tmp_path, monkeypatch, eight_bits, amx, flags, dtype
):
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: amx)
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": {}} if eight_bits else {}))
    server = VllmServer(tmp_path, {}, flags, constrained=False)
    try:
        process = psutil.Process(server.process.pid)
        within(20, lambda: "--enforce-eager" in process.cmdline())  # a program that begins has none yet
        words = process.cmdline()
        assert words[words.index("--dtype") + 1] == dtype if not flags else dtype in words and "--dtype" not in words
    finally:
        server.close()
