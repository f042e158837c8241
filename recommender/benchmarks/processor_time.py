"""Seconds of the processor that this process and all that it starts take, whoever waits for them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_POLL_SECONDS = 0.5


class ProcessorTime:
    """What was taken since the block began: of a process that ends, but for its last half second."""

    def __init__(self) -> None:
        self._taken: dict[tuple[int, int], float] = {}
        self._before = _of_family()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def seconds(self) -> float:
        """Seconds of all processes together."""
        return sum(taken - self._before.get(process, 0.0) for process, taken in self._taken.items())

    def stop(self) -> None:
        """Take the last look."""
        self._end.set()
        self._thread.join()
        self._taken |= _of_family()

    def _watch(self) -> None:
        while not self._end.wait(_POLL_SECONDS):
            self._taken |= _of_family()


@contextmanager
def processor_time() -> Iterator[ProcessorTime]:
    """Yield what counts the processor's seconds of this process and of all below it. Linux only: it reads /proc."""
    time = ProcessorTime()
    try:
        yield time
    finally:
        time.stop()


def _of_family() -> dict[tuple[int, int], float]:
    """Return the seconds of this process and of those below it, by their number and their start."""
    parents, taken = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        number = int(path.parent.name)
        parents[number] = int(fields[1])
        taken[number] = (int(fields[19]), (int(fields[11]) + int(fields[12])) / _TICKS)
    family = {os.getpid()}
    while new := {number for number, parent in parents.items() if parent in family} - family:
        family |= new
    return {(number, taken[number][0]): taken[number][1] for number in family if number in taken}
