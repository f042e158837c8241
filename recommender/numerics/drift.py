"""How far a distribution has moved: the population stability index, PSI.

The sum over bins of (actual share - expected share) * ln(actual share / expected share), which is Jeffreys' divergence:
0 for the same shares, and by custom 0.1 is looked at and 0.25 is acted on. See Siddiqi, "Credit Risk Scorecards", 2006.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def item_stability(expected: Mapping[str, int], actual: Mapping[str, int], bins: int = BINS) -> float | None:
    """Return the PSI of how often items occur.

    Bins hold items that were about as frequent, each with an equal share of what is expected, as far as single items
    allow; one more bin holds items that were not expected at all.
    """
    total, passed = sum(expected.values()), 0
    place: dict[str, int] = {}
    for item, count in sorted(expected.items(), key=lambda pair: (-pair[1], pair[0])):
        place[item] = min(passed * bins // total, bins - 1) if total else 0
        passed += count
    before, now = np.zeros(bins + 1), np.zeros(bins + 1)
    for counts, sums in ((expected, before), (actual, now)):
        for item, count in counts.items():
            sums[place.get(item, bins)] += count
    used = (before > 0) | (now > 0)
    return stability(before[used], now[used])


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
