"""What every measurement shares: rounds that alternate between methods, medians and spread, peak memory, the machine."""

from __future__ import annotations

import ctypes
import gc
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

_STATUS, _REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")
PACKAGES = ("recommender", "torch", "transformers", "peft", "numpy")


@dataclass(frozen=True)
class Timing:
    """Seconds of all rounds of one method, by the clock and of the processor, which other programs do not lengthen; and
    megabytes that one call held at its peak beyond what lay there before."""

    seconds: tuple[float, ...]
    processor: tuple[float, ...]
    megabytes: float | None

    @property
    def median(self) -> float:
        """The median of the seconds."""
        return float(np.median(self.seconds))

    @property
    def busy(self) -> float:
        """The median of the processor's seconds, all threads together."""
        return float(np.median(self.processor))

    @property
    def spread(self) -> float:
        """Half the range between the quartiles, as a share of the median."""
        low, high = np.quantile(self.seconds, [0.25, 0.75])
        return float((high - low) / 2 / self.median)


@dataclass(frozen=True)
class Elapsed:
    """What a method returns that measures itself, because its work is done in another process."""

    seconds: float
    processor: float


def measured(methods: Mapping[str, Callable[[], Any]], rounds: int, budget: float = float("inf")) -> dict[str, Timing]:
    """Call each method once for its memory, then `rounds` times in turn: a machine that slows down slows all of them.

    A method that has taken more than `budget` seconds is called no more; if the first call took as long, it is the only
    one. What is set up once must have been set up before.
    """
    elapsed: dict[str, list[Elapsed]] = {}
    memory: dict[str, float | None] = {}
    for name, call in methods.items():
        first, memory[name] = peak_megabytes(partial(_timed, call))
        elapsed[name] = [first] if first.seconds > budget else []
    for _ in range(rounds):
        for name, call in methods.items():
            if sum(one.seconds for one in elapsed[name]) <= budget:
                elapsed[name].append(_timed(call))
    return {
        name: Timing(tuple(one.seconds for one in found), tuple(one.processor for one in found), memory[name])
        for name, found in elapsed.items()
    }


def _timed(call: Callable[[], Any]) -> Elapsed:
    start, worked = time.perf_counter(), time.process_time()
    found = call()
    _synchronise()
    if isinstance(found, Elapsed):
        return found
    return Elapsed(time.perf_counter() - start, time.process_time() - worked)


T = TypeVar("T")


def peak_megabytes(call: Callable[[], T]) -> tuple[T, float | None]:
    """Return what a call returns, and the peak of resident memory during it beyond that before, in 10^6 bytes; on a GPU,
    of its memory.

    What the allocator keeps of freed memory is given back first, or else the call would take it unseen. None where the
    system does not tell.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        found = call()
        return found, (torch.cuda.max_memory_allocated() - before) / 1e6
    try:
        ctypes.CDLL(None).malloc_trim(0)
        _REFERENCES.write_text("5", encoding="ascii")  # forgets the peak so far: see proc(5)
        before = _resident("VmRSS")
    except (OSError, AttributeError):
        return call(), None
    found = call()
    return found, (_resident("VmHWM") - before) / 1e6


def machine() -> dict[str, Any]:
    """Return what a figure depends on beside the code: versions, threads, processor."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "threads": torch.get_num_threads(),
        "processor": _processor(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _resident(field: str) -> int:
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
