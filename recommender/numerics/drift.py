"""How far a distribution has moved: the population stability index, PSI.

The sum over bins of (actual share - expected share) * ln(actual share / expected share), which is Jeffreys' divergence:
0 for the same shares, and by custom 0.1 is looked at and 0.25 is acted on. See Siddiqi, "Credit Risk Scorecards", 2006.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

BINS = 10
#: the share that an empty bin counts as, or one item that was never seen before would move a distribution without end
FLOOR = 1e-4


def stability(expected: Sequence[float] | np.ndarray, actual: Sequence[float] | np.ndarray) -> float | None:
    """Return the PSI of counts [bins]; None if either side counts nothing."""
    before, now = np.asarray(expected, float), np.asarray(actual, float)
    if not before.sum() or not now.sum():
        return None
    before, now = np.maximum(before / before.sum(), FLOOR), np.maximum(now / now.sum(), FLOOR)
    return float(((now - before) * np.log(now / before)).sum())


@dataclass(frozen=True)
class ItemBins:
    """How often items occur, coarsely. `place`: item -> its bin, from the most frequent; `shares` [bins + 1]: of all
    occurrences, the last one of items that have no bin."""

    place: Mapping[str, int]
    shares: np.ndarray

    @classmethod
    def of(cls, counts: Mapping[str, int], bins: int = BINS) -> ItemBins:
        """Put items that are about as frequent into a bin, each with an equal share, as far as single items allow."""
        total, passed = sum(counts.values()), 0
        place: dict[str, int] = {}
        sums = np.zeros(bins + 1)
        for item, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
            place[item] = min(passed * bins // total, bins - 1) if total else 0
            sums[place[item]] += count
            passed += count
        return cls(place, sums / total if total else sums)

    def stability(self, actual: Mapping[str, int]) -> float | None:
        """Return the PSI of how often items occur now; None if either side counts nothing."""
        now = np.zeros(len(self.shares))
        for item, count in actual.items():
            now[self.place.get(item, len(now) - 1)] += count
        used = (self.shares > 0) | (now > 0)
        return stability(self.shares[used], now[used])


def item_stability(expected: Mapping[str, int], actual: Mapping[str, int], bins: int = BINS) -> float | None:
    """Return the PSI of how often items occur, in `ItemBins` of what is expected."""
    return ItemBins.of(expected, bins).stability(actual)


def value_stability(expected: Sequence[float], actual: Sequence[float], bins: int = BINS) -> float | None:
    """Return the PSI of numbers, in bins between the quantiles of what is expected; None if either side has none."""
    if not len(expected) or not len(actual):
        return None
    inner = np.unique(np.quantile(np.asarray(expected, float), np.linspace(0, 1, bins + 1)[1:-1]))
    counts = [
        np.bincount(np.searchsorted(inner, side, side="right"), minlength=len(inner) + 1) for side in (expected, actual)
    ]
    used = (counts[0] > 0) | (counts[1] > 0)
    return stability(counts[0][used], counts[1][used])
