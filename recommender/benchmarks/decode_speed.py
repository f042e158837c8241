"""Constrained beam search beside its rivals: the same checkpoint, prompts and trie, in one process tree."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recommender.benchmarks.measuring import Elapsed, Timing, machine, measured
from recommender.benchmarks.synthetic import full_trie, instruction, synthetic_checkpoint, synthetic_prompts
from recommender.benchmarks.transformers_rival import TransformersRival
from recommender.benchmarks.vllm_rival import VllmRival
from recommender.inference.beam_search import rank, score
from recommender.inference.weight_cache import WeightCache
from recommender.model import RecommenderModel
from recommender.model.checkpoint import Checkpoint
from recommender.progress import Progress
from recommender.prompting.example import Example

K = 10
OURS, CACHED, INT8, BRUTE = "ours", "ours, instruction cached", "ours, int8", "brute force"
FLOOR = "floor: bare passes"
#: Positions and beams of the warm-up call of each method before any measurement.
WARM_POSITIONS, WARM_BEAMS = 16, 2

Case = tuple[int, int, int]
"""Positions, beams, number of prompts."""

Row = dict[str, Any]
Lists = list[list[int]]
"""The best items of each prompt."""

Method = Callable[[dict[str, Lists]], Elapsed | None]
"""Runs a method and puts its lists, if it has any, into a mapping under its name."""


@dataclass(frozen=True)
class DecodeSettings:
    """What is measured: every prompt length with every beam width and number of prompts.

    budget: seconds after which a method is not called again. limit: if several prompts would take longer than so many
    seconds, by the time of one, they are not measured; the row then has a multiple of that time and no rounds. checked:
    how many prompts are compared with brute force in float32.
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
        """All cases; those with few prompts come first."""
        return [(p, w, b) for p in self.lengths for w in self.beams for b in sorted(self.prompts)]


def bench_decode(settings: DecodeSettings, progress: Progress | None = None, keep: Path | None = None) -> list[Row]:
    """Return a row for each case and method: median seconds, spread, memory, ratios, overlap of the top 10.

    The overlap is with brute force in float32, over the first `checked` prompts. `keep`: a file of finished cases;
    cases that it has for the same settings are not measured again. Raises AssetError or ConfigError if the base model
    cannot be read, RecommenderError if vLLM does not start.
    """
    finished = _FinishedCases(keep, settings)
    cases = [case for case in settings.cases if case not in finished.rows]
    if cases:
        with closing(_DecodeBench(settings, progress)) as bench:
            for number, case in enumerate(cases):
                if progress:
                    progress("{} positions, {} beams, {} prompts".format(*case), number, len(cases))
                finished.add(case, bench.case(case, finished.one_prompt(case)))
    return [row for case in settings.cases for row in finished.rows[case]]


class _FinishedCases:
    """The rows of finished cases, kept in a file with a line for each case if there is one."""

    def __init__(self, path: Path | None, settings: DecodeSettings) -> None:
        varied = ("lengths", "beams", "prompts")
        self.path = path
        fixed = {name: str(value) for name, value in vars(settings).items() if name not in varied}
        self.settings = {"asked": fixed, "machine": machine()}
        self.rows: dict[Case, list[Row]] = {}
        if path is not None and path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                if entry["settings"] == self.settings:
                    self.rows[tuple(entry["case"])] = entry["rows"]

    def add(self, case: Case, rows: list[Row]) -> None:
        self.rows[case] = rows
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"settings": self.settings, "case": case, "rows": rows}) + "\n")

    def one_prompt(self, case: Case) -> dict[str, Row]:
        """Return the measured rows of the same case with one prompt, by method."""
        return {row["method"]: row for row in self.rows.get((*case[:2], 1), []) if row["rounds"]}


class _DecodeBench:
    """The models and rivals that are measured."""

    def __init__(self, settings: DecodeSettings, progress: Progress | None) -> None:
        self.settings = settings
        self.checkpoint = self._checkpoint(settings.dtype, progress)
        self.model: RecommenderModel = self.checkpoint.model
        self.weights = WeightCache(self.model)
        with_int8 = settings.int8 and self.model.device.type == "cpu"
        self.int8 = WeightCache(self._checkpoint(settings.dtype, progress, int8=True).model) if with_int8 else None
        self.exact = WeightCache(self._checkpoint("float32", progress).model) if settings.checked else self.weights
        self.trie = full_trie(self.model)
        self.transformers = TransformersRival(self.model, self.trie)
        self.exact_best: dict[int, list[set[int]]] = {}
        self.vllm = self._vllm()
        try:
            for method in self._methods(self._prompts(WARM_POSITIONS, 1), WARM_BEAMS).values():
                method({})
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the child process of vLLM."""
        if self.vllm is not None:
            self.vllm.close()

    def case(self, case: Case, one_prompt: dict[str, Row]) -> list[Row]:
        """Measure every method in one case; `one_prompt`: the rows of the case with one prompt, by method."""
        length, beam, count = case
        prompts = self._prompts(length, count)
        lists: dict[str, Lists] = {}
        calls = {
            name: partial(method, lists)
            for name, method in self._methods(prompts, beam).items()
            if name not in one_prompt or count * one_prompt[name]["seconds"] <= self.settings.limit
        }
        timings = measured(calls, self.settings.rounds, self.settings.budget)
        rows = [_row(case, name, timing, self._overlap(prompts, lists.get(name))) for name, timing in timings.items()]
        rows += [_projected_row(case, row) for name, row in one_prompt.items() if name not in calls]
        return _with_ratios(rows)

    def _checkpoint(self, dtype: str, progress: Progress | None, int8: bool = False) -> Checkpoint:
        s = self.settings
        return synthetic_checkpoint(s.llm, s.layers, s.items, dtype=dtype, int8=int8, seed=s.seed, progress=progress)

    def _vllm(self) -> VllmRival | None:
        if not self.settings.vllm_python:
            return None
        largest = max(self.settings.beams), max(self.settings.lengths), max(self.settings.prompts)
        return VllmRival(self.settings.vllm_python, self.checkpoint, *largest)

    def _prompts(self, positions: int, count: int) -> list[Example]:
        return synthetic_prompts(self.checkpoint, count, positions, self.settings.seed)

    def _methods(self, prompts: Sequence[Example], beam: int) -> dict[str, Method]:
        """Return every method as a call on these prompts."""
        prefix = instruction(self.checkpoint, len(prompts[0]), self.settings.seed)
        searches: dict[str, Callable[[], Lists]] = {
            OURS: partial(self._search, self.weights, prompts, beam),
            CACHED: partial(self._search, self.weights, prompts, beam, prefix),
        }
        if self.int8 is not None:
            searches[INT8] = partial(self._search, self.int8, prompts, beam)
        if self.settings.transformers:
            for name, vectorised in (("prefix function", False), ("vectorised", True)):
                generate = partial(self.transformers.generate, prompts, beam, K, vectorised)
                searches[f"transformers, {name}"] = generate
        if self.settings.brute:
            searches[BRUTE] = partial(_brute_force, self.weights, prompts)
        methods: dict[str, Method] = {name: partial(_store, name, search) for name, search in searches.items()}
        methods[FLOOR] = lambda _: self.transformers.bare_passes(prompts, beam)
        for name, free in (("vLLM, free", True), ("vLLM, constrained", False)) if self.vllm is not None else ():
            methods[name] = partial(self._search_vllm, name, prompts, beam, free)
        return methods

    def _search(
        self, weights: WeightCache, prompts: Sequence[Example], beam: int, prefix: np.ndarray | None = None
    ) -> Lists:
        rankings = rank(weights, prompts, self.trie, K, beam, instruction=prefix)
        return [ranking.items.tolist() for ranking in rankings]

    def _search_vllm(
        self, name: str, prompts: Sequence[Example], beam: int, free: bool, lists: dict[str, Lists]
    ) -> Elapsed:
        assert self.vllm is not None
        lists[name] = self.vllm.search(prompts, beam, K, free)
        return self.vllm.elapsed

    def _overlap(self, prompts: Sequence[Example], lists: Lists | None) -> float | None:
        """Return the mean share of the exact best items that are in the lists; None without lists or a check."""
        checked = prompts[: self.settings.checked]
        if lists is None or not checked:
            return None
        length = len(prompts[0])
        if length not in self.exact_best or len(self.exact_best[length]) < len(checked):
            self.exact_best[length] = [set(items) for items in _brute_force(self.exact, checked)]
        pairs = zip(self.exact_best[length], lists, strict=False)
        return float(np.mean([len(best & set(items)) / len(best) for best, items in pairs]))


def _store(name: str, search: Callable[[], Lists], lists: dict[str, Lists]) -> None:
    lists[name] = search()


def _row(case: Case, name: str, timing: Timing, overlap: float | None) -> Row:
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
        "MB": None if name.startswith("vLLM") else timing.megabytes,  # the child reserved its memory when it started
        "top 10": overlap,
    }


def _projected_row(case: Case, one_prompt: Row) -> Row:
    """Return a row that is not measured: the times of one prompt, multiplied by the number of prompts."""
    times = {name: case[2] * one_prompt[name] for name in ("seconds", "CPU s")}
    return one_prompt | times | {"prompts": case[2], "rounds": 0, "spread": None, "MB": None, "top 10": None}


def _with_ratios(rows: list[Row]) -> list[Row]:
    """Return the rows with their ratios to our search and to the floor."""
    ours, floor = (next(row for row in rows if row["method"] == method) for method in (OURS, FLOOR))
    for row in rows:
        row["of ours"], row["of the floor"] = (row["seconds"] / base["seconds"] for base in (ours, floor))
        row["CPU of ours"] = row["CPU s"] / ours["CPU s"]
    return rows


def _brute_force(weights: WeightCache, prompts: Sequence[Example]) -> Lists:
    """Score every item of the catalogue and return the best `K` of each prompt."""
    scores = score(weights, prompts, range(len(weights.model.ids.codes)))
    return np.argsort(-scores, axis=1, kind="stable")[:, :K].tolist()
