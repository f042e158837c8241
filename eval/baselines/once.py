"""Baselines that are asked for more than once in a comparison, as rows of its table and within fusions, and fitted once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recommender.eval.baselines.base import FitData, Ranker
from recommender.eval.baselines.registry import make_baseline


class Once:
    """Fits each of the named baselines once for the same histories and seed; what else is asked for is not kept."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)
        self._known: dict[tuple[str, str], tuple[Ranker, float]] = {}

    def fit(self, name: str, data: FitData) -> tuple[Ranker, float]:
        """Return the fitted baseline and the seconds that fitting it took, now or when it was first asked for."""
        key = name, _told(data)
        if key in self._known:
            return self._known[key]
        ranker, start = make_baseline(name), time.perf_counter()
        ranker.fit(data)
        found = ranker, time.perf_counter() - start
        if name in self._names:
            self._known[key] = found
        return found

    def make(self, name: str) -> Ranker:
        """Return a baseline that is not fitted yet, and will be through this."""
        return _Through(name, self)


@dataclass
class _Through:
    """A baseline of its own to whoever fits it."""

    name: str
    once: Once
    ranker: Ranker | None = None

    def fit(self, data: FitData) -> None:
        self.ranker, _ = self.once.fit(self.name, data)

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        assert self.ranker is not None
        return self.ranker.scores(histories)


def _told(data: FitData) -> str:
    """Return what identifies what a baseline learns from; the content is that of the comparison."""
    digest = hashlib.sha256(f"{data.seed} {data.items}".encode())
    for history in data.histories:
        digest.update(np.asarray([len(history), *history], dtype=np.int64).tobytes())
    return digest.hexdigest()
