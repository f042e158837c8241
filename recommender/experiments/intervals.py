"""Intervals around means of skewed values, such as rewards times weights, of which few are large.

A plain t interval leaves out the truth too often there, and on one side. Hall (1992, "On the removal of skewness by
transformation") bends the t statistic by a cubic polynomial so that its skewness is gone; that is as good as a studentised
bootstrap to second order, needs no resampling, and is the same every time.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import t as student

ALPHA = 0.05
_FLAT = 1e-9


def mean_interval(
    values: np.ndarray, groups: np.ndarray | None = None, alpha: float = ALPHA
) -> tuple[float, float, float]:
    """Return the mean of values [n] and the ends of its interval. `groups` [n]: whose each is; values of one group may hang
    together. The ends are infinite for fewer than two groups."""
    values = np.asarray(values, np.float64)
    if not len(values):
        return 0.0, -np.inf, np.inf
    mean = float(values.mean())
    parts = _centred(values - mean, groups)
    count = len(parts)
    if count < 2:
        return mean, -np.inf, np.inf
    low, high = _bent(parts, alpha)
    return mean, mean - high, mean - low


def _centred(deviations: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Return a deviation for each group [g], whose mean is that of all deviations."""
    if groups is None:
        return deviations
    _, places = np.unique(groups, return_inverse=True)
    sums = np.bincount(places, weights=deviations)
    return np.asarray(sums * (len(sums) / len(deviations)))


def _bent(parts: np.ndarray, alpha: float) -> tuple[float, float]:
    """Return how far the mean may lie below and above the truth, by Hall's transformation.

    How well the spread is known hangs on how heavy the tails are: the degrees of freedom of t are those of a variance with
    the kurtosis that is seen (Satterthwaite 1946).
    """
    count, square = len(parts), float(np.mean(np.square(parts)))
    if square == 0:
        return 0.0, 0.0
    spread = np.sqrt(square * count / (count - 1))
    skew = float(np.mean(parts**3)) / spread**3 / np.sqrt(count)
    beyond = float(np.mean(parts**4)) / square**2 - 1
    freedom = float(np.clip(2 * count / beyond if beyond > 0 else count, 1, count - 1))
    ends = student.ppf([alpha / 2, 1 - alpha / 2], freedom)
    low, high = (float(spread / np.sqrt(count)) * _unbent(float(end), skew) for end in ends)
    return low, high


def _unbent(end: float, skew: float) -> float:
    """Return the t statistic that the transformation takes to `end`. `skew`: by the root of the number of values."""
    if abs(skew) < _FLAT:
        return end
    return float(3 / skew * (np.cbrt(1 + skew * (end - skew / 6)) - 1))
