"""A real server of the shipped adapter in a process of its own, for tests of what clients are shown."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STARTS_WITHIN = 180.0
#: as the README starts the server that several tests share: the fixture `shipped_server`
SERVE_SHIPPED = "recommender serve movielens-100k --port 8000"


@contextmanager
def served(command: str, folder: Path) -> Iterator[int]:
    """Run `recommender serve ...` with a free port in place of the command's own, and yield that port once it answers."""
    port = free_port()
    words = shlex.split(command)
    words[words.index("--port") + 1] = str(port)
    log = folder / "server.log"
    with log.open("w") as output:
        arguments, environment = [sys.executable, "-m", *words], os.environ | {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(arguments, cwd=folder, stdout=output, stderr=output, env=environment)
        try:
            wait_for(port, process, log)
            yield port
        finally:
            process.terminate()
            process.wait(timeout=60)


def wait_for(port: int, process: subprocess.Popen, log: Path) -> None:
    """Return once the server says that it is alive."""
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"no answer within {STARTS_WITHIN:.0f} s: {log.read_text()}")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
