"""Constrained beam search beside what else can be installed: same checkpoint, prompts and trie, one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from recommender.benchmarks.measuring import measured
from recommender.benchmarks.plain import Plain
from recommender.benchmarks.synthetic import instruction, synthetic_checkpoint, synthetic_prompts
from recommender.decoding import rank, score
from recommender.examples import Example
from recommender.model import RecommenderModel
from recommender.model.checkpoint import Checkpoint
from recommender.progress import Progress
from recommender.trie import Trie

K = 10
OURS, INT8, FLOOR, BRUTE = "ours", "ours, int8", "floor: bare passes", "brute force"


@dataclass(frozen=True)
class DecodeSettings:
    """What is measured: every prompt length with every beam width and number of prompts at once."""

    llm: str = "smollm2-135m-instruct"
    layers: int | None = None
    items: int = 2000
    dtype: str = "auto"
    lengths: tuple[int, ...] = (256, 512)
    beams: tuple[int, ...] = (10, 50)
    prompts: tuple[int, ...] = (1, 8)
    rounds: int = 5
    budget: float = 20.0
    checked: int = 1
    brute: bool = True
    transformers: bool = True
    seed: int = 0


def bench_decode(settings: DecodeSettings, progress: Progress | None = None) -> list[dict[str, Any]]:
    """Return a row for each case and method: median seconds, spread, memory, ratio to ours, overlap of the top 10.

    The overlap is with brute force in float32, over the first `checked` prompts. Raises AssetError or ConfigError if the
    base model cannot be read.
    """
    bench = _Bench(settings, progress)
    cases = [(p, w, b) for p in settings.lengths for w in settings.beams for b in settings.prompts]
    rows = []
    for number, (length, beam, count) in enumerate(cases):
        if progress:
            progress(f"{length} positions, {beam} beams, {count} prompts", number, len(cases))
        rows += bench.case(length, beam, count)
    return rows


class _Bench:
    def __init__(self, settings: DecodeSettings, progress: Progress | None) -> None:
        self.settings = settings
        self.checkpoint = self._checkpoint(settings.dtype, progress)
        self.model: RecommenderModel = self.checkpoint.model
        self.rounded = (
            self._checkpoint(settings.dtype, progress, int8=True).model if self.model.device.type == "cpu" else None
        )
        self.exact = self._checkpoint("float32", progress).model if settings.checked else self.model
        self.trie = Trie.from_codes(self.model.ids.codes, self.model.ids.sizes, self.model.device)
        self.plain = Plain(self.model, self.trie)
        self.best: dict[int, list[set[int]]] = {}

    def _checkpoint(self, dtype: str, progress: Progress | None, int8: bool = False) -> Checkpoint:
        s = self.settings
        return synthetic_checkpoint(s.llm, s.layers, s.items, dtype=dtype, int8=int8, seed=s.seed, progress=progress)

    def case(self, length: int, beam: int, count: int) -> list[dict[str, Any]]:
        """Measure every method with `count` prompts of `length` positions."""
        prompts = synthetic_prompts(self.checkpoint, count, length, self.settings.seed)
        methods = self._methods(prompts, beam)
        found: dict[str, Any] = {}

        def kept(name: str, method: Callable[[], Any]) -> Callable[[], None]:
            return lambda: found.update({name: method()})

        calls = {name: kept(name, method) for name, method in methods.items()}
        timings = measured(calls, self.settings.rounds, self.settings.budget)
        base = timings[OURS]
        return [
            {
                "positions": length,
                "beams": beam,
                "prompts": count,
                "method": name,
                "seconds": timing.median,
                "CPU s": timing.busy,
                "spread": timing.spread,
                "rounds": len(timing.seconds),
                "of ours": timing.median / base.median,
                "CPU of ours": timing.busy / base.busy,
                "MB": timing.megabytes,
                "top 10": self._overlap(prompts, found[name]),
            }
            for name, timing in timings.items()
        ]

    def _methods(self, prompts: Sequence[Example], beam: int) -> dict[str, Callable[[], Any]]:
        words = instruction(self.checkpoint, len(prompts[0]), self.settings.seed)
        methods: dict[str, Callable[[], Any]] = {
            OURS: lambda: self._ranked(self.model, prompts, beam),
            "ours, instruction cached": lambda: self._ranked(self.model, prompts, beam, words),
            FLOOR: lambda: self.plain.bare(prompts, beam),
        }
        if self.rounded is not None:
            methods[INT8] = partial(self._ranked, self.rounded, prompts, beam)
        if self.settings.transformers:
            for name, vectorised in (("prefix function", False), ("vectorised", True)):
                methods[f"transformers, {name}"] = partial(self.plain.generate, prompts, beam, K, vectorised)
        if self.settings.brute:
            methods[BRUTE] = lambda: _brute(self.model, prompts)
        return methods

    def _ranked(
        self, model: RecommenderModel, prompts: Sequence[Example], beam: int, words: np.ndarray | None = None
    ) -> list[list[int]]:
        return [found.items.tolist() for found in rank(model, prompts, self.trie, K, beam, instruction=words)]

    def _overlap(self, prompts: Sequence[Example], found: list[list[int]] | None) -> float | None:
        checked = prompts[: self.settings.checked]
        if found is None or not checked:
            return None
        length = len(prompts[0])
        if length not in self.best or len(self.best[length]) < len(checked):
            self.best[length] = [set(row) for row in _brute(self.exact, checked)]
        pairs = zip(self.best[length], found, strict=False)
        return float(np.mean([len(best & set(items)) / len(best) for best, items in pairs]))


def _brute(model: RecommenderModel, prompts: Sequence[Example]) -> list[list[int]]:
    """Score every item of the catalogue and return the best `K` of each prompt."""
    scores = score(model, prompts, range(len(model.ids.codes)))
    return np.argsort(-scores, axis=1, kind="stable")[:, :K].tolist()
