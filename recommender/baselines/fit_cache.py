"""A cache of fits: a baseline that stands in a table and in fusions of the same table is fitted once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recommender.baselines.baseline import Baseline, FitData, ItemContent
from recommender.baselines.registry import make_baseline
from recommender.baselines.topk import FittedBaseline, fit_baseline


class FitCache:
    """Fits each of the named baselines once for the same histories, content and seed. Fits of others are not kept."""

    def __init__(self, names: Sequence[str]) -> None:
        """Take the names of the baselines that will be asked for more than once."""
        self._names = frozenset(names)
        self._fits: dict[tuple[str, str, int], FittedBaseline] = {}
        self._contents: list[ItemContent] = []

    def fit(self, name: str, data: FitData) -> FittedBaseline:
        """Return the fitted baseline, with the seconds that its fit took, now or the first time."""
        key = name, _fingerprint(data), self._number(data.content)
        if key in self._fits:
            return self._fits[key]
        fitted = fit_baseline(make_baseline(name), data)
        if name in self._names:
            self._fits[key] = fitted
        return fitted

    def _number(self, content: ItemContent | None) -> int:
        """Return the number of an object of content: to compare the vectors would mean to encode what may not be needed."""
        if content is None:
            return -1
        if not any(known is content for known in self._contents):
            self._contents.append(content)
        return next(number for number, known in enumerate(self._contents) if known is content)

    def make(self, name: str) -> Baseline:
        """Return an unfitted baseline whose fit goes through this cache."""
        return _CachedBaseline(name, self)


@dataclass
class _CachedBaseline:
    """Looks like a baseline of its own to whoever fits it."""

    name: str
    cache: FitCache
    baseline: Baseline | None = None

    def fit(self, data: FitData) -> None:
        self.baseline = self.cache.fit(self.name, data).baseline

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        assert self.baseline is not None
        return self.baseline.scores(histories)


def _fingerprint(data: FitData) -> str:
    """Return a hash of the histories, the size of the catalogue and the seed."""
    digest = hashlib.sha256(f"{data.seed} {data.items}".encode())
    for history in data.histories:
        digest.update(np.asarray([len(history), *history], dtype=np.int64).tobytes())
    return digest.hexdigest()
