"""Constrained beam search beside what else can be installed: same checkpoint, prompts and trie, one process tree."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recommender.benchmarks.measuring import Elapsed, Timing, machine, measured
from recommender.benchmarks.synthetic import instruction, synthetic_checkpoint, synthetic_prompts
from recommender.benchmarks.transformers_rival import Plain
from recommender.benchmarks.vllm_rival import VllmRival
from recommender.constraints import Trie
from recommender.inference.beam_search import rank, score
from recommender.inference.weight_cache import WeightCache
from recommender.model import RecommenderModel
from recommender.model.checkpoint import Checkpoint
from recommender.progress import Progress
from recommender.prompting.example import Example

K = 10
OURS, CACHED, INT8, BRUTE = "ours", "ours, instruction cached", "ours, int8", "brute force"
FLOOR = "floor: bare passes"
#: Positions and beams of the call that sets each method up before anything is measured.
WARM_POSITIONS, WARM_BEAMS = 16, 2

Case = tuple[int, int, int]
"""Positions, beams, prompts at once."""


@dataclass(frozen=True)
class DecodeSettings:
    """What is measured: every prompt length with every beam width and number of prompts at once.

    `budget`: seconds after which a method is not measured again. `limit`: seconds beyond which several prompts are not
    measured where one is known: the row then tells that time as often as there are prompts, with no rounds.
    """

    llm: str = "smollm2-135m-instruct"
    layers: int | None = None
    items: int = 2000
    dtype: str = "auto"
    lengths: tuple[int, ...] = (256, 512)
    beams: tuple[int, ...] = (10, 50)
    prompts: tuple[int, ...] = (1, 8)
    rounds: int = 5
    budget: float = 20.0
    limit: float = float("inf")
    checked: int = 1
    brute: bool = True
    transformers: bool = True
    int8: bool = True
    vllm_python: Path | None = None
    seed: int = 0

    @property
    def cases(self) -> list[Case]:
        """All that is measured, few prompts before many."""
        return [(p, w, b) for p in self.lengths for w in self.beams for b in sorted(self.prompts)]


def bench_decode(
    settings: DecodeSettings, progress: Progress | None = None, keep: Path | None = None
) -> list[dict[str, Any]]:
    """Return a row for each case and method: median seconds, spread, memory, ratios, overlap of the top 10.

    The overlap is with brute force in float32, over the first `checked` prompts. `keep`: a file that each case is added
    to when it is done, and that cases measured before with the same settings are taken from. Raises AssetError or
    ConfigError if the base model cannot be read, RecommenderError if vLLM does not start.
    """
    kept = _Kept(keep, settings)
    left = [case for case in settings.cases if case not in kept.rows]
    if left:
        with closing(_Bench(settings, progress)) as bench:
            for number, case in enumerate(left):
                if progress:
                    progress("{} positions, {} beams, {} prompts".format(*case), number, len(left))
                kept.add(case, bench.case(case, kept.one_prompt(case)))
    return [row for case in settings.cases for row in kept.rows[case]]


class _Kept:
    """Cases that are done, in a file of a line each if there is one."""

    def __init__(self, path: Path | None, settings: DecodeSettings) -> None:
        varied = ("lengths", "beams", "prompts")
        self.path = path
        asked = {name: str(value) for name, value in vars(settings).items() if name not in varied}
        self.settings = {"asked": asked, "machine": machine()}
        self.rows: dict[Case, list[dict[str, Any]]] = {}
        if path is not None and path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                if entry["settings"] == self.settings:
                    self.rows[tuple(entry["case"])] = entry["rows"]

    def add(self, case: Case, rows: list[dict[str, Any]]) -> None:
        self.rows[case] = rows
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"settings": self.settings, "case": case, "rows": rows}) + "\n")

    def one_prompt(self, case: Case) -> dict[str, dict[str, Any]]:
        """Return the rows of the same case with one prompt by method, as far as they are known."""
        return {row["method"]: row for row in self.rows.get((*case[:2], 1), []) if row["rounds"]}


class _Bench:
    def __init__(self, settings: DecodeSettings, progress: Progress | None) -> None:
        self.settings = settings
        self.checkpoint = self._checkpoint(settings.dtype, progress)
        self.model: RecommenderModel = self.checkpoint.model
        rounded = settings.int8 and self.model.device.type == "cpu"
        self.weights = WeightCache(self.model)
        int8 = self._checkpoint(settings.dtype, progress, int8=True).model if rounded else None
        self.rounded = None if int8 is None else WeightCache(int8)
        exact = self._checkpoint("float32", progress).model if settings.checked else None
        self.exact = self.weights if exact is None else WeightCache(exact)
        self.trie = Trie.from_codes(self.model.ids.codes, self.model.ids.sizes, self.model.device)
        self.plain = Plain(self.model, self.trie)
        self.best: dict[int, list[set[int]]] = {}
        self.opened, self.rival = ExitStack(), None
        if settings.vllm_python:
            largest = max(settings.beams), max(settings.lengths), max(settings.prompts)
            self.rival = self.opened.enter_context(closing(VllmRival(settings.vllm_python, self.checkpoint, *largest)))
        for method in self._methods(self._prompts(WARM_POSITIONS, 1), WARM_BEAMS).values():
            method({})

    def close(self) -> None:
        """End what was started."""
        self.opened.close()

    def _checkpoint(self, dtype: str, progress: Progress | None, int8: bool = False) -> Checkpoint:
        s = self.settings
        return synthetic_checkpoint(s.llm, s.layers, s.items, dtype=dtype, int8=int8, seed=s.seed, progress=progress)

    def _prompts(self, positions: int, count: int) -> list[Example]:
        return synthetic_prompts(self.checkpoint, count, positions, self.settings.seed)

    def case(self, case: Case, alone: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Measure every method in one case; `alone`: rows of the case with one prompt, by method."""
        length, beam, count = case
        prompts = self._prompts(length, count)
        found: dict[str, list[list[int]]] = {}
        calls = {
            name: partial(method, found)
            for name, method in self._methods(prompts, beam).items()
            if name not in alone or count * alone[name]["seconds"] <= self.settings.limit
        }
        timings = measured(calls, self.settings.rounds, self.settings.budget)
        rows = [_row(case, name, timing, self._overlap(prompts, found.get(name))) for name, timing in timings.items()]
        rows += [_projected(case, row) for name, row in alone.items() if name not in calls]
        ours = next(row for row in rows if row["method"] == OURS)
        floor = next(row for row in rows if row["method"] == FLOOR)
        for row in rows:
            row["of ours"], row["of the floor"] = (row["seconds"] / base["seconds"] for base in (ours, floor))
            row["CPU of ours"] = row["CPU s"] / ours["CPU s"]
        return rows

    def _methods(self, prompts: Sequence[Example], beam: int) -> dict[str, Callable[[dict[str, Any]], Any]]:
        """Return what each method does; it leaves the items that it found in what it is given."""
        words = instruction(self.checkpoint, len(prompts[0]), self.settings.seed)
        ranked: dict[str, Callable[[], list[list[int]]]] = {
            OURS: partial(self._ranked, self.weights, prompts, beam),
            CACHED: partial(self._ranked, self.weights, prompts, beam, words),
        }
        if self.rounded is not None:
            ranked[INT8] = partial(self._ranked, self.rounded, prompts, beam)
        if self.settings.transformers:
            for name, vectorised in (("prefix function", False), ("vectorised", True)):
                ranked[f"transformers, {name}"] = partial(self.plain.generate, prompts, beam, K, vectorised)
        if self.settings.brute:
            ranked[BRUTE] = partial(_brute, self.weights, prompts)
        methods: dict[str, Callable[[dict[str, Any]], Any]] = {
            name: partial(_left_in, name, method) for name, method in ranked.items()
        }
        methods[FLOOR] = lambda _: self.plain.bare(prompts, beam)
        for name, free in (("free", True), ("constrained", False)) if self.rival else ():
            methods[f"vLLM, {name}"] = partial(self._asked, f"vLLM, {name}", prompts, beam, free)
        return methods

    def _asked(self, name: str, prompts: Sequence[Example], beam: int, free: bool, found: dict[str, Any]) -> Elapsed:
        assert self.rival is not None
        found[name] = self.rival.search(prompts, beam, K, free)
        return self.rival.elapsed

    def _ranked(
        self, weights: WeightCache, prompts: Sequence[Example], beam: int, words: np.ndarray | None = None
    ) -> list[list[int]]:
        return [found.items.tolist() for found in rank(weights, prompts, self.trie, K, beam, instruction=words)]

    def _overlap(self, prompts: Sequence[Example], found: list[list[int]] | None) -> float | None:
        checked = prompts[: self.settings.checked]
        if found is None or not checked:
            return None
        length = len(prompts[0])
        if length not in self.best or len(self.best[length]) < len(checked):
            self.best[length] = [set(row) for row in _brute(self.exact, checked)]
        pairs = zip(self.best[length], found, strict=False)
        return float(np.mean([len(best & set(items)) / len(best) for best, items in pairs]))


def _left_in(name: str, method: Callable[[], Any], found: dict[str, Any]) -> None:
    found[name] = method()


def _row(case: Case, name: str, timing: Timing, overlap: float | None) -> dict[str, Any]:
    positions, beams, prompts = case
    return {
        "positions": positions,
        "beams": beams,
        "prompts": prompts,
        "method": name,
        "seconds": timing.median,
        "CPU s": timing.busy,
        "spread": timing.spread,
        "rounds": len(timing.seconds),
        "MB": None if name.startswith("vLLM") else timing.megabytes,  # the child took its memory when it started
        "top 10": overlap,
    }


def _projected(case: Case, alone: dict[str, Any]) -> dict[str, Any]:
    """Return a row that nobody measured: one prompt's time as often as there are prompts."""
    times = {name: case[2] * alone[name] for name in ("seconds", "CPU s")}
    return alone | times | {"prompts": case[2], "rounds": 0, "spread": None, "MB": None, "top 10": None}


def _brute(weights: WeightCache, prompts: Sequence[Example]) -> list[list[int]]:
    """Score every item of the catalogue and return the best `K` of each prompt."""
    scores = score(weights, prompts, range(len(weights.model.ids.codes)))
    return np.argsort(-scores, axis=1, kind="stable")[:, :K].tolist()
