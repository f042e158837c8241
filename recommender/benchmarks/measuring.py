"""Timing in rounds that alternate between methods, peak memory, and facts of the machine."""

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

_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
PACKAGES = ("recommender", "torch", "transformers", "peft", "numpy")

T = TypeVar("T")


@dataclass(frozen=True)
class Timing:
    """The rounds of one method.

    seconds: by the clock. processor: of the processor, which other programs do not lengthen. megabytes: the peak memory
    of one call beyond what was in use before.
    """

    seconds: tuple[float, ...]
    processor: tuple[float, ...]
    megabytes: float | None

    @property
    def median(self) -> float:
        """The median of the seconds."""
        return float(np.median(self.seconds))

    @property
    def busy(self) -> float:
        """The median of the processor's seconds, over all threads."""
        return float(np.median(self.processor))

    @property
    def spread(self) -> float:
        """Half the range between the quartiles, as a share of the median."""
        low, high = np.quantile(self.seconds, [0.25, 0.75])
        return float((high - low) / 2 / self.median)


@dataclass(frozen=True)
class Elapsed:
    """Seconds by the clock and of the processor. A method that works in another process returns its own measurement."""

    seconds: float
    processor: float


def measured(methods: Mapping[str, Callable[[], Any]], rounds: int, budget: float = float("inf")) -> dict[str, Timing]:
    """Call each method once for its memory, then `rounds` times in turn, so that a slow phase of the machine slows all.

    A method that has taken more than `budget` seconds is not called again; if already the first call took longer, it is
    the only one. One-time set-up must be done before.
    """
    elapsed: dict[str, list[Elapsed]] = {}
    memory: dict[str, float | None] = {}
    for name, call in methods.items():
        first, memory[name] = peak_megabytes(partial(timed, call))
        elapsed[name] = [first] if first.seconds > budget else []
    for _ in range(rounds):
        for name, call in methods.items():
            if sum(round_.seconds for round_ in elapsed[name]) <= budget:
                elapsed[name].append(timed(call))
    return {
        name: Timing(tuple(r.seconds for r in rounds_), tuple(r.processor for r in rounds_), memory[name])
        for name, rounds_ in elapsed.items()
    }


def timed(call: Callable[[], Any]) -> Elapsed:
    """Call and measure, a GPU's work included; a call that returns an Elapsed is taken at its word."""
    start, worked = time.perf_counter(), time.process_time()
    result = call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    if isinstance(result, Elapsed):
        return result
    return Elapsed(time.perf_counter() - start, time.process_time() - worked)


def median_seconds(call: Callable[[], Any], rounds: int) -> float:
    """Return the median of the seconds of `rounds` calls."""
    return float(np.median([timed(call).seconds for _ in range(rounds)]))


def peak_megabytes(call: Callable[[], T]) -> tuple[T, float | None]:
    """Return the result of a call, and the peak of resident memory during it beyond that before, in 10^6 bytes; with a
    GPU, of its memory. None where the system does not report it.

    Freed memory that the allocator keeps is returned to the system first, or the call would use it uncounted.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result = call()
        return result, (torch.cuda.max_memory_allocated() - before) / 1e6
    try:
        ctypes.CDLL(None).malloc_trim(0)
        _CLEAR_REFS.write_text("5", encoding="ascii")  # resets the peak: see proc(5)
        before = _resident("VmRSS")
    except (OSError, AttributeError):
        return call(), None
    result = call()
    return result, (_resident("VmHWM") - before) / 1e6


def machine() -> dict[str, Any]:
    """Return what figures depend on besides the code: versions, threads, processor, GPU."""
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


def largest_megabytes() -> float:
    """Return the peak of this process' resident memory since it began, in 10^6 bytes."""
    return _resident("VmHWM") / 1e6
