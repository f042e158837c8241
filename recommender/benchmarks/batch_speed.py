"""Answers the same parts by one process, by several, and by workers of Ray, one of which is killed on the way."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recommender.batch import BatchOptions, PartsReport, run_parts
from recommender.batch.parts import BOOKS
from recommender.benchmarks.processor_time import processor_time
from recommender.benchmarks.tiny import tiny_checkpoint
from recommender.cluster import ClusterOptions, connected
from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.model.checkpoint import resolve
from recommender.progress import Progress

_HISTORY = (3, 20)


@dataclass(frozen=True)
class BatchSettings:
    """lines: requests in all. part: lines of a part. workers: at a time. ray: measure Ray too; kill: one of its workers,
    when a quarter of the parts is done. items: of the tiny catalogue."""

    lines: int = 100_000
    part: int = 1_000
    workers: int = 2
    ray: bool = True
    kill: bool = False
    items: int = 2_000
    seed: int = 0


def bench_batch(model: str | None, settings: BatchSettings, progress: Progress) -> list[dict[str, Any]]:
    """Return a row for each method: seconds by the clock and of the processor, beyond one process in percent, and whether
    its answers are those of one process, byte for byte after sorting. model: None for a tiny one with random weights.

    All compute on one thread a worker, since rounding may go by the number of threads.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chosen = model or str(tiny_checkpoint(folder / "tiny", settings.items, settings.seed))
        _write_parts(folder / "parts", _item_ids(chosen), settings)
        for method, run in _methods(chosen, folder, settings, progress).items():
            start = time.perf_counter()
            with processor_time() as taken:
                report = run()
            seconds = time.perf_counter() - start
            rows.append(_row(method, report, seconds, taken.seconds, rows, folder))
    return rows


def _methods(
    model: str, folder: Path, settings: BatchSettings, progress: Progress
) -> dict[str, Callable[[], PartsReport]]:
    def here(workers: int, name: str) -> Callable[[], PartsReport]:
        options = BatchOptions(workers=workers)
        return lambda: run_parts(model, folder / "parts", folder / name, options, progress)

    def by_ray(name: str) -> PartsReport:
        parts = -(-settings.lines // settings.part)
        with connected(ClusterOptions(settings.workers)) as cluster, _killing(folder / name, parts // 4, settings.kill):
            return run_parts(model, folder / "parts", folder / name, BatchOptions(), progress, cluster)

    several = f"{settings.workers} processes"
    methods = {"one process": here(1, "one process"), several: here(settings.workers, several)}
    if settings.ray:
        name = f"{settings.workers} workers of Ray{', one killed' if settings.kill else ''}"
        methods[name] = lambda: by_ray(name)
    return methods


def _row(
    method: str, report: PartsReport, seconds: float, processor: float, rows: list[dict[str, Any]], folder: Path
) -> dict[str, Any]:
    first = rows[0] if rows else None
    more = None if first is None else round(100 * (processor / first["processor s"] - 1), 1)
    answering = None if first is None else round(100 * (report.processor / first["answering s"] - 1), 1)
    same = None if first is None else _answers(folder / first["method"]) == _answers(folder / method)
    return {
        "method": method,
        "lines": report.lines,
        "errors": report.errors,
        "seconds": round(seconds, 1),
        "processor s": round(processor, 1),
        "more %": more,
        "answering s": round(report.processor, 1),
        "more answering %": answering,
        "identical": same,
    }


def _answers(folder: Path) -> list[bytes]:
    return sorted(line for path in folder.glob("*.jsonl") for line in path.read_bytes().splitlines())


def _write_parts(folder: Path, item_ids: Sequence[str], settings: BatchSettings) -> None:
    random = np.random.default_rng(settings.seed)
    folder.mkdir()
    for start in range(0, settings.lines, settings.part):
        with (folder / f"part-{start // settings.part:05}.jsonl").open("w", encoding="utf-8") as file:
            for number in range(start, min(start + settings.part, settings.lines)):
                places = random.integers(0, len(item_ids), random.integers(*_HISTORY))
                history = list(dict.fromkeys(item_ids[place] for place in places))
                request = {"custom_id": f"u{number}", "history": history, "k": 10, "explain": False}
                file.write(json.dumps(request) + "\n")


def _item_ids(model: str) -> Sequence[str]:
    config = Config.load(resolve(model) / "config.yaml")
    return Catalogue.load(config.data.items, config.data, media=False).item_ids


@contextmanager
def _killing(target: Path, after: int, wanted: bool) -> Iterator[None]:
    """Kill the worker that has answered the latest of `after` parts, as soon as they are there."""
    ended = threading.Event()

    def kill() -> None:
        while not ended.wait(0.1):
            books = sorted((target / BOOKS).glob("*.jsonl.json"), key=lambda path: path.stat().st_mtime)
            if len(books) >= max(after, 1):
                worker = json.loads(books[-1].read_text(encoding="utf-8"))["worker"]
                os.kill(int(worker.split()[0]), signal.SIGKILL)
                return

    thread = threading.Thread(target=kill, daemon=True)
    if wanted:
        thread.start()
    try:
        yield
    finally:
        ended.set()
