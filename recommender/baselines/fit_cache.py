"""Baselines that are asked for more than once in a comparison, as rows of its table and within fusions, and fitted once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recommender.baselines.baseline import Baseline, FitData
from recommender.baselines.ranking import FittedRanker, fitted
from recommender.baselines.registry import make_baseline


class FitCache:
    """Fits each of the named baselines once for the same histories and seed; what else is asked for is not kept."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)
        self._known: dict[tuple[str, str], FittedRanker] = {}

    def fit(self, name: str, data: FitData) -> FittedRanker:
        """Return the fitted baseline, with the seconds that fitting took now or when it was first asked for."""
        key = name, _told(data)
        if key in self._known:
            return self._known[key]
        found = fitted(make_baseline(name), data)
        if name in self._names:
            self._known[key] = found
        return found

    def make(self, name: str) -> Baseline:
        """Return a baseline that is not fitted yet, and will be through this."""
        return _CachedBaseline(name, self)


@dataclass
class _CachedBaseline:
    """A baseline of its own to whoever fits it."""

    name: str
    once: FitCache
    ranker: Baseline | None = None

    def fit(self, data: FitData) -> None:
        self.ranker = self.once.fit(self.name, data).ranker

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        assert self.ranker is not None
        return self.ranker.scores(histories)


def _told(data: FitData) -> str:
    """Return what identifies what a baseline learns from; the content is that of the comparison."""
    digest = hashlib.sha256(f"{data.seed} {data.items}".encode())
    for history in data.histories:
        digest.update(np.asarray([len(history), *history], dtype=np.int64).tobytes())
    return digest.hexdigest()
