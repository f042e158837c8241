"""Two engines over one checkpoint: the same lists, the same scores, nothing invalid, under every adapter."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file

from recommender.adapters.lora import RANK
from recommender.benchmarks.server_load import drawn_history, is_wrong
from recommender.engine import Engine, Recommender, Request, Response
from recommender.engine.vllm import VllmOptions, VllmRecommender
from recommender.export.vllm_folder import export_vllm, load_exported
from recommender.model.checkpoint import from_pretrained
from recommender.numerics.sampling import evenly
from recommender.progress import Progress

_WEIGHTS = "adapter_model.safetensors"
GROUP = 16


@dataclass(frozen=True)
class EnginesSettings:
    """`histories` random histories shorter than `longest` are ranked by both engines, `k` items each.

    `requests`: how many are asked of vLLM under each of two adapters; 0 leaves that out. `flags` go to vLLM.
    """

    histories: int = 200
    longest: int = 60
    k: int = 10
    requests: int = 0
    seed: int = 0
    flags: tuple[str, ...] = ()


def bench_engines(source: str, settings: EnginesSettings, progress: Progress | None = None) -> list[dict[str, Any]]:
    """Return a row for the two engines side by side, and one for each adapter that was loaded and unloaded meanwhile."""
    checkpoint = from_pretrained(source, None, progress)
    embedded = Recommender(checkpoint)
    with TemporaryDirectory(prefix="recommender-engines-") as scratch:
        export_vllm(checkpoint, Path(scratch) / "export", progress)
        options = VllmOptions(flags=settings.flags)
        with closing(VllmRecommender(load_exported(Path(scratch) / "export", checkpoint.catalogue), options)) as vllm:
            rows = [side_by_side(embedded, vllm, settings, progress)]
            if settings.requests:
                rows += under_adapters(vllm, Path(scratch), settings, progress)
    return rows


def drawn_requests(engine: Engine, count: int, settings: EnginesSettings, seed: int) -> list[Request]:
    """Return requests with random histories."""
    random, names = np.random.default_rng([settings.seed, seed]), [item.item_id for item in engine.catalogue]
    histories = [drawn_history(random, names, settings.longest) for _ in range(count)]
    return [Request(history=tuple(h), k=settings.k, explain=False, fused=False) for h in histories]


def side_by_side(
    ours: Engine, theirs: Engine, settings: EnginesSettings, progress: Progress | None = None
) -> dict[str, Any]:
    """Rank the same requests by both; returns what share of the items is the same, and how far scores are apart."""
    requests = drawn_requests(ours, settings.histories, settings, seed=1)
    answers, seconds = {}, {}
    for engine in (ours, theirs):
        begun = time.perf_counter()
        answers[engine.name] = _answered(engine, requests, progress)
        seconds[engine.name] = time.perf_counter() - begun
    mine, found = ([{i.item_id: i.score for i in a.items} for a in answers[e.name]] for e in (ours, theirs))
    apart = [abs(a[i] - b[i]) for a, b in zip(mine, found, strict=True) for i in a.keys() & b.keys()]
    lists, same = len(requests), sum(len(a.keys() & b.keys()) for a, b in zip(mine, found, strict=True))
    return {
        "what": f"{theirs.name} beside {ours.name}",
        "requests": lists,
        "same items": same / (lists * settings.k),
        "same order": sum(list(a) == list(b) for a, b in zip(mine, found, strict=True)) / lists,
        **_differences(apart),
        "wrong lists": wrong_lists(theirs, requests, answers[theirs.name]),
        "errors": 0,
        "first error": None,
        "seconds": seconds[theirs.name],
        f"of {ours.name}": seconds[theirs.name] / seconds[ours.name],
    }


def _differences(apart: Sequence[float]) -> dict[str, float | None]:
    """Return the columns that tell how far scores are apart; None where the two share no item."""
    median, most = (float(np.median(apart)), max(apart)) if apart else (None, None)
    return {"scores apart, median": median, "at most": most}


def _answered(engine: Engine, requests: Sequence[Request], progress: Progress | None) -> list[Response]:
    found: list[Response] = []
    for start in range(0, len(requests), GROUP):
        for answer in engine.answer_many(requests[start : start + GROUP]):
            if not isinstance(answer, Response):
                raise answer
            found.append(answer)
        if progress:
            progress(f"lists by {engine.name}", len(found), len(requests))
    return found


def wrong_lists(engine: Engine, requests: Sequence[Request], answers: Sequence[Response]) -> int:
    """Return how many lists have an item that is unknown, seen or repeated, or not as many as were asked for."""
    known = {item.item_id for item in engine.catalogue}
    pairs = zip(requests, answers, strict=True)
    return sum(is_wrong([i.item_id for i in answer.items], one.history, known, one.k) for one, answer in pairs)


def under_adapters(
    engine: VllmRecommender, scratch: Path, settings: EnginesSettings, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Ask under two adapters that come and go while requests of both are under way; returns a row for each.

    The first is loaded before, the second while the first answers; both answer together; the first is unloaded while the
    second answers. A request that fails counts as an error; "first error" says why the first did, None if none has.
    "same order": lists that equal those of an adapter by itself.
    """
    folders = {name: _version(engine, scratch / name, scale) for name, scale in (("first", 1.0), ("second", 0.5))}
    requests = drawn_requests(engine, settings.requests, settings, seed=2)
    half = len(requests) // 2
    first, second = (engine.with_adapter(name) for name in folders)
    engine.load_adapter("first", folders["first"])
    begun = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        early = pool.submit(_tried, first, requests[:half], progress)
        engine.load_adapter("second", folders["second"])
        other = pool.submit(_tried, second, requests[:half], progress)
        late = pool.submit(_tried, first, requests[half:], progress)
        answers = {"first": early.result() + late.result()}
        unloaded = pool.submit(engine.unload_adapter, "first")
        answers["second"] = other.result() + _tried(second, requests[half:], progress)
        unloaded.result()
    seconds = time.perf_counter() - begun
    engine.load_adapter("first-again", folders["first"])
    alone = {"first": engine.with_adapter("first-again"), "second": second}
    rows = [_adapter_row(alone[name], name, requests, answers[name], seconds) for name in answers]
    for name in ("first-again", "second"):
        engine.unload_adapter(name)
    return rows


def _adapter_row(
    engine: VllmRecommender, name: str, requests: Sequence[Request], answers: Sequence[Response | str], seconds: float
) -> dict[str, Any]:
    pairs = [(one, answer) for one, answer in zip(requests, answers, strict=True) if isinstance(answer, Response)]
    failed = [answer for answer in answers if isinstance(answer, str)]
    checked = [pairs[i] for i in evenly(len(pairs), 100)]
    again = _answered(engine, [one for one, _ in checked], None)
    both = [(a.items, b.items) for (_, a), b in zip(checked, again, strict=True)]
    orders = [([i.item_id for i in a], [i.item_id for i in b]) for a, b in both]
    apart = [abs(i.score - j.score) for a, b in both for i, j in zip(a, b, strict=True)]
    return {
        "what": f"vllm, adapter {name}",
        "requests": len(requests),
        "same items": sum(len(set(a) & set(b)) for a, b in orders) / max(sum(len(a) for a, _ in orders), 1),
        "same order": sum(a == b for a, b in orders) / max(len(orders), 1),
        **_differences(apart),
        "wrong lists": wrong_lists(engine, [one for one, _ in pairs], [answer for _, answer in pairs]),
        "errors": len(failed),
        "first error": failed[0] if failed else None,
        "seconds": seconds,
        "of embedded": None,
    }


def _tried(engine: VllmRecommender, requests: Sequence[Request], progress: Progress | None) -> list[Response | str]:
    """Return answers, and for those of a group that failed why it did."""
    found: list[Response | str] = []
    for start in range(0, len(requests), GROUP):
        part = requests[start : start + GROUP]
        try:
            found += _answered(engine, part, None)
        except Exception as error:
            found += [f"{type(error).__name__}: {error}"] * len(part)
        if progress:
            progress(f"lists under {engine.options.rank_adapter}", len(found), len(requests))
    return found


def _version(engine: VllmRecommender, folder: Path, scale: float) -> Path:
    """Write a version of the ranking adapter whose LoRA is `scale` times as strong."""
    source = engine.exported.folder / "lora" / RANK
    shutil.copytree(source, folder)
    weights = load_file(source / _WEIGHTS)
    scaled = {name: w * scale if "lora_B" in name else w for name, w in weights.items()}
    save_file(scaled, folder / _WEIGHTS, {"format": "pt"})
    return folder
