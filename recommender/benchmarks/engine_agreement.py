"""Agreement of two engines on one checkpoint: the same lists and scores, nothing invalid, under every adapter."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

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
REQUESTS_AT_ONCE = 16


@dataclass(frozen=True)
class EnginesSettings:
    """Both engines rank `k` items for `histories` random histories shorter than `longest`.

    requests: how many vLLM answers under each of two adapters; 0: none. flags: of the vLLM server. bits: of the base that
    it ranks with.
    """

    histories: int = 200
    longest: int = 60
    k: int = 10
    requests: int = 0
    seed: int = 0
    flags: tuple[str, ...] = ()
    bits: Literal[16, 8] = 16


def bench_engines(source: str, settings: EnginesSettings, progress: Progress | None = None) -> list[dict[str, Any]]:
    """Return a row that compares the two engines, and one for each adapter that is loaded and unloaded while serving."""
    checkpoint = from_pretrained(source, None, progress)
    embedded = Recommender(checkpoint)
    with TemporaryDirectory(prefix="recommender-engines-") as scratch:
        export_vllm(checkpoint, Path(scratch) / "export", progress, bits=settings.bits)
        options = VllmOptions(flags=settings.flags)
        with closing(VllmRecommender(load_exported(Path(scratch) / "export", checkpoint.catalogue), options)) as vllm:
            rows = [compare_engines(embedded, vllm, settings, progress)]
            if settings.requests:
                rows += under_adapters(vllm, Path(scratch), settings, progress)
    return rows


def drawn_requests(engine: Engine, count: int, settings: EnginesSettings, seed: int) -> list[Request]:
    """Return requests with random histories."""
    random, item_ids = np.random.default_rng([settings.seed, seed]), [item.item_id for item in engine.catalogue]
    histories = [drawn_history(random, item_ids, settings.longest) for _ in range(count)]
    return [Request(history=tuple(h), k=settings.k, explain=False, fused=False) for h in histories]


def compare_engines(
    ours: Engine, theirs: Engine, settings: EnginesSettings, progress: Progress | None = None
) -> dict[str, Any]:
    """Rank the same requests with both; returns the share of the same items, and the differences of their scores."""
    requests = drawn_requests(ours, settings.histories, settings, seed=1)
    answers, seconds = {}, {}
    for engine in (ours, theirs):
        start = time.perf_counter()
        answers[engine.name] = _answer_all(engine, requests, progress)
        seconds[engine.name] = time.perf_counter() - start
    of_each = ([{i.item_id: i.score for i in a.items} for a in answers[e.name]] for e in (ours, theirs))
    pairs = list(zip(*of_each, strict=True))
    differences = [abs(a[item] - b[item]) for a, b in pairs for item in a.keys() & b.keys()]
    return {
        "what": f"{theirs.name} beside {ours.name}",
        "requests": len(pairs),
        "same items": len(differences) / (len(pairs) * settings.k),
        "same order": sum(list(a) == list(b) for a, b in pairs) / len(pairs),
        **_score_differences(differences),
        "wrong lists": wrong_lists(theirs, requests, answers[theirs.name]),
        "errors": 0,
        "first error": None,
        "seconds": seconds[theirs.name],
        f"of {ours.name}": seconds[theirs.name] / seconds[ours.name],
    }


def _score_differences(differences: Sequence[float]) -> dict[str, float | None]:
    """Return the median and the largest difference of scores; None if no item is shared."""
    median, most = (float(np.median(differences)), max(differences)) if differences else (None, None)
    return {"scores apart, median": median, "at most": most}


def _answer_all(engine: Engine, requests: Sequence[Request], progress: Progress | None) -> list[Response]:
    """Return the answers to all requests. Raises the error of a request that fails."""
    responses: list[Response] = []
    for start in range(0, len(requests), REQUESTS_AT_ONCE):
        for answer in engine.answer_many(requests[start : start + REQUESTS_AT_ONCE]):
            if not isinstance(answer, Response):
                raise answer
            responses.append(answer)
        if progress:
            progress(f"lists by {engine.name}", len(responses), len(requests))
    return responses


def wrong_lists(engine: Engine, requests: Sequence[Request], answers: Sequence[Response]) -> int:
    """Return the number of lists with an item that is unknown, seen or repeated, or of a wrong length."""
    known = {item.item_id for item in engine.catalogue}
    pairs = zip(requests, answers, strict=True)
    return sum(is_wrong([i.item_id for i in a.items], request.history, known, request.k) for request, a in pairs)


def under_adapters(
    engine: VllmRecommender, scratch: Path, settings: EnginesSettings, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Answer under two adapters that are loaded and unloaded while requests of both run; returns a row for each.

    The first adapter is loaded before all requests, the second while the first answers; both answer together; the first
    is unloaded while the second answers. "errors": failed requests, "first error": the reason of the first one. "same
    order": the share of lists that equal those of the adapter when it answers alone.
    """
    folders = {
        name: _scaled_adapter(engine, scratch / name, scale) for name, scale in (("first", 1.0), ("second", 0.5))
    }
    requests = drawn_requests(engine, settings.requests, settings, seed=2)
    half = len(requests) // 2
    first, second = (engine.with_adapter(name) for name in folders)
    engine.load_adapter("first", folders["first"])
    start = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        early = pool.submit(answers_or_errors, first, requests[:half], progress)
        engine.load_adapter("second", folders["second"])
        other = pool.submit(answers_or_errors, second, requests[:half], progress)
        late = pool.submit(answers_or_errors, first, requests[half:], progress)
        answers = {"first": early.result() + late.result()}
        unloaded = pool.submit(engine.unload_adapter, "first")
        answers["second"] = other.result() + answers_or_errors(second, requests[half:], progress)
        unloaded.result()
    seconds = time.perf_counter() - start
    engine.load_adapter("first-again", folders["first"])
    alone = {"first": engine.with_adapter("first-again"), "second": second}
    rows = [_adapter_row(alone[name], name, requests, answers[name], seconds) for name in answers]
    for name in ("first-again", "second"):
        engine.unload_adapter(name)
    return rows


def _adapter_row(
    engine: VllmRecommender, name: str, requests: Sequence[Request], answers: Sequence[Response | str], seconds: float
) -> dict[str, Any]:
    """Compare the answers under load with those of the adapter alone; `answers` are responses or errors."""
    answered = [(r, answer) for r, answer in zip(requests, answers, strict=True) if isinstance(answer, Response)]
    errors = [answer for answer in answers if isinstance(answer, str)]
    sample = [answered[i] for i in evenly(len(answered), 100)]
    alone = _answer_all(engine, [request for request, _ in sample], None)
    lists = [(a.items, b.items) for (_, a), b in zip(sample, alone, strict=True)]
    orders = [([i.item_id for i in a], [i.item_id for i in b]) for a, b in lists]
    differences = [abs(i.score - j.score) for a, b in lists for i, j in zip(a, b, strict=True)]
    return {
        "what": f"vllm, adapter {name}",
        "requests": len(requests),
        "same items": sum(len(set(a) & set(b)) for a, b in orders) / max(sum(len(a) for a, _ in orders), 1),
        "same order": sum(a == b for a, b in orders) / max(len(orders), 1),
        **_score_differences(differences),
        "wrong lists": wrong_lists(engine, [request for request, _ in answered], [answer for _, answer in answered]),
        "errors": len(errors),
        "first error": errors[0] if errors else None,
        "seconds": seconds,
        "of embedded": None,
    }


def answers_or_errors(
    engine: VllmRecommender, requests: Sequence[Request], progress: Progress | None
) -> list[Response | str]:
    """Return the answers; for each request of a group that fails, the error as text."""
    answers: list[Response | str] = []
    for start in range(0, len(requests), REQUESTS_AT_ONCE):
        group = requests[start : start + REQUESTS_AT_ONCE]
        try:
            answers += _answer_all(engine, group, None)
        except Exception as error:
            answers += [f"{type(error).__name__}: {error}"] * len(group)
        if progress:
            progress(f"lists under {engine.options.rank_adapter}", len(answers), len(requests))
    return answers


def _scaled_adapter(engine: VllmRecommender, folder: Path, scale: float) -> Path:
    """Write a copy of the ranking adapter whose LoRA is multiplied by `scale`."""
    source = engine.exported.folder / "lora" / RANK
    shutil.copytree(source, folder)
    weights = load_file(source / _WEIGHTS)
    scaled = {name: w * scale if "lora_B" in name else w for name, w in weights.items()}
    save_file(scaled, folder / _WEIGHTS, {"format": "pt"})
    return folder
