"""A real server of the shipped adapter in a process of its own, for tests of what clients are shown."""

from __future__ import annotations

import shlex
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.copies import begin_command

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
        process = begin_command(*words[1:], streams=[output.fileno()] * 3, folder=folder)
        try:
            wait_for(port, process, log)
            yield port
        finally:
            process.terminate()
            process.join(60)
            process.kill()


def wait_for(port: int, process: BaseProcess, log: Path) -> None:
    """Return once the server says that it is alive."""
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline:
        assert process.is_alive(), log.read_text()
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
