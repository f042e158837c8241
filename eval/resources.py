"""Peak memory of a block of code."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024  # the unit of ru_maxrss
_MEGABYTE = 1e6


@dataclass
class Memory:
    """The growth in 10^6 bytes, NaN until the block ends."""

    megabytes: float = float("nan")


@contextmanager
def peak_memory() -> Iterator[Memory]:
    """Measure the peak of the process's memory during a block, beyond what it held before.

    Linux lets a process reset its peak, so each block is measured on its own. Elsewhere it is the growth of the peak
    since the process started, which is 0 for a block that stays below an earlier one.
    """
    memory = Memory()
    _return_freed_memory()
    before = _current() if _reset_peak() else _peak()
    try:
        yield memory
    finally:
        memory.megabytes = max(0.0, _peak() - before) / _MEGABYTE


def _return_freed_memory() -> None:
    """Return freed memory to the system where possible, or the block would use it again uncounted."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _peak() -> float:
    """Return the peak of the resident memory in bytes, since its last reset if it can be reset."""
    status = _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES if status is None else status


def _current() -> float:
    status = _status("VmRSS")
    return _peak() if status is None else status


def _reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return _status("VmRSS") is not None


def _status(name: str) -> float | None:
    """Return an entry of the process's status in bytes, None where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return float(values[0]) * 1024 if values else None
