"""A small process that outlives ours: however ours ends, it then ends what we started and removes what we wrote.

`kill -9` gives nobody the time to clean up. The guardian reads lines from a pipe whose other end only we hold, so that its
end is ours. It runs as a plain script, without the packages that we need, and in a session of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal

Kind = Literal["group", "folder"]
_GRACE_SECONDS, _LOOK_SECONDS = 5.0, 0.05


class Guardian:
    """Knows the groups of processes and the folders that must not outlive this process."""

    def __init__(self) -> None:
        """Start the process."""
        self._lock = threading.Lock()
        command = [sys.executable, "-I", "-S", str(Path(__file__).absolute())]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def watch(self, kind: Kind, name: int | Path) -> None:
        """End this group of processes, or remove this folder, once this process has ended."""
        self._say(f"+{kind} {name}")

    def forget(self, kind: Kind, name: int | Path) -> None:
        """Leave alone what this process has seen to itself."""
        self._say(f"-{kind} {name}")

    def _say(self, line: str) -> None:
        with self._lock, suppress(BrokenPipeError):
            assert self.process.stdin is not None
            self.process.stdin.write(f"{line}\n".encode())
            self.process.stdin.flush()


@cache
def guardian() -> Guardian:
    """Return the guardian of this process, which starts with the first call."""
    return Guardian()


def end_group(group: int, grace: float = _GRACE_SECONDS) -> None:
    """End all processes of a group: first asked to, then, after `grace` seconds, made to."""
    until = time.monotonic() + grace
    number = signal.SIGTERM
    with suppress(ProcessLookupError, PermissionError):
        while True:
            os.killpg(group, number)
            while time.monotonic() < until and _runs(group):
                time.sleep(_LOOK_SECONDS)
            if number == signal.SIGKILL or not _runs(group):
                return
            number, until = signal.SIGKILL, time.monotonic() + grace


def _runs(group: int) -> bool:
    """Whether a group has processes that have not ended; one that nobody has waited for yet is no process."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    if not Path("/proc/self/stat").exists():
        return True
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError, ValueError):
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] not in "ZX":
                return True
    return False


def _main(lines: Iterable[str]) -> None:
    watched: dict[str, None] = {}
    for line in lines:
        if line.startswith("+"):
            watched[line[1:].rstrip("\n")] = None
        else:
            watched.pop(line[1:].rstrip("\n"), None)
    by_kind = [entry.partition(" ")[::2] for entry in watched]
    for group in [int(name) for kind, name in by_kind if kind == "group"]:
        end_group(group)
    for folder in [name for kind, name in by_kind if kind == "folder"]:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    _main(sys.stdin)
