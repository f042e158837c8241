"""How the time and memory of every step grow with the number of items: a synthetic catalogue at several sizes.

Each step of each size runs in a process of its own, so that its peak memory is its own. The number of users is the same
at all sizes. What was measured is kept in a file, and not measured again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recommender.benchmarks.catalogue_steps import STEPS
from recommender.errors import DataError, RecommenderError, did_you_mean
from recommender.files import replacing
from recommender.progress import Progress

RESULTS = "catalogue.json"
_TABLES = "tables"


@dataclass(frozen=True)
class CatalogueSettings:
    """What is measured. `train_users`: of all users, those whose histories make the epoch; `asked`: users that are ranked
    for, and lines of the batch; `llm`: the base of the single training step."""

    sizes: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    users: int = 100_000
    train_users: int = 100_000
    asked: int = 1000
    llm: str = "smollm2-135m-instruct"
    steps: tuple[str, ...] = tuple(STEPS)
    threads: int | None = None


def check_steps(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of steps in their order; none means all. Raises DataError for an unknown one."""
    for name in names:
        if name not in STEPS:
            raise DataError(f"there is no step {name!r}", did_you_mean(name, STEPS) or f"one of {', '.join(STEPS)}")
    return tuple(name for name in STEPS if not names or name in names or name == _TABLES)


def bench_catalogue(
    settings: CatalogueSettings, output: Path, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Measure all steps at all sizes; returns a row for each step.

    A row has seconds of the processor and peak megabytes at each size, and the exponent by which the seconds grow.
    `output` keeps tables, checkpoints and `catalogue.json`. Raises RecommenderError with the last line of a step that fails.
    """
    output.mkdir(parents=True, exist_ok=True)
    kept = _read(output / RESULTS)
    total = len(settings.sizes) * len(settings.steps)
    for number, (size, name) in enumerate((s, n) for s in settings.sizes for n in settings.steps):
        if progress:
            progress(f"{size:,} items: {name}", number, total)
        key = _key(settings, size, name)
        if key not in kept:
            kept[key] = {"items": size, "step": name} | _measured(
                settings, output / f"{size}-{settings.users}", size, name
            )
            with replacing(output / RESULTS) as temporary:
                temporary.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return [_row(name, settings, kept) for name in settings.steps if name != _TABLES]


def _key(settings: CatalogueSettings, size: int, name: str) -> str:
    parts = [str(size), name, str(settings.users)]
    further = {
        "train": settings.train_users,
        "evaluate": settings.asked,
        "batch": settings.asked,
        "135M step": settings.llm,
    }
    return " ".join([*parts, *([str(further[name])] if name in further else [])])


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError:
        raise RecommenderError(f"{path}: is damaged", "remove it to measure anew") from None


def _measured(settings: CatalogueSettings, folder: Path, size: int, name: str) -> dict[str, Any]:
    """Run one step in a process of its own and return what it says of itself."""
    world = {
        "items": size,
        "users": settings.users,
        "train_users": settings.train_users,
        "asked": settings.asked,
        "llm": settings.llm,
    }
    command = [sys.executable, "-m", "recommender.benchmarks.catalogue_steps", name, str(folder), json.dumps(world)]
    threads = {} if settings.threads is None else {"OMP_NUM_THREADS": str(settings.threads)}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | threads)
    if result.returncode:
        last = next(iter(result.stderr.strip().splitlines()[::-1]), f"exit code {result.returncode}")
        raise RecommenderError(
            f"{size:,} items: {name} failed: {last[:300]}", f"run it alone: {' '.join(command[1:4])} ..."
        )
    return dict(json.loads(result.stdout.strip().splitlines()[-1]))


def _row(name: str, settings: CatalogueSettings, kept: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found = [kept[_key(settings, size, name)] for size in settings.sizes]
    row: dict[str, Any] = {"step": name}
    for size, one in zip(settings.sizes, found, strict=True):
        row |= {f"s, {size:,}": seconds_of(one), f"MB, {size:,}": round(one["MB"])}
    return row | {"exponent": exponent(settings.sizes, [seconds_of(one) for one in found])}


def seconds_of(measurement: dict[str, Any]) -> float:
    """Return the processor's seconds of a measurement; of a step that tells its own time, that."""
    return float(measurement["details"].get("step seconds", measurement["processor"]))


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float | None:
    """Return the slope of log seconds over log sizes, by least squares; None for a single size."""
    if len(set(sizes)) < 2:
        return None
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(seconds, 1e-6)), 1)[0])
