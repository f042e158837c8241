"""What a piece of work takes of the machine."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes of one step of ru_maxrss
_MEGABYTE = 1e6


@dataclass
class Memory:
    """`megabytes`: NaN while the work goes on."""

    megabytes: float = float("nan")


@contextmanager
def peak_memory() -> Iterator[Memory]:
    """Measure by how much the process's memory grew at most during a block, beyond what it held before.

    Linux lets a process set its peak back, so each block is measured on its own. Elsewhere it is the growth of the
    peak since the process started, and 0 for a block that stays below an earlier one.
    """
    measured = Memory()
    _give_back()
    before = _current() if _reset_peak() else _peak()
    try:
        yield measured
    finally:
        measured.megabytes = max(0.0, _peak() - before) / _MEGABYTE


def _give_back() -> None:
    """Return freed memory to the system where that can be asked for, or the block would use it again uncounted."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _peak() -> float:
    """Return the peak of the resident memory in bytes, since it was last set back if it can be."""
    status = _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT if status is None else status


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
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return float(found[0]) * 1024 if found else None
