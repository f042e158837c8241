"""Percentile bootstrap over users: how far a mean, or the difference of two means, is to be trusted.

Users are the unit that is resampled, as one user's metrics hang together. Every column of a call sees the
same resamples, so differences between columns are paired (Efron and Tibshirani, 1993, chapters 13 and 16).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_CELLS = 4_000_000  # drawn at a time, to bound memory by tens of megabytes


@dataclass(frozen=True)
class Interval:
    """A mean and the bounds of its confidence interval."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside: for a difference, whether it is significant at this level."""
        return self.low > 0 or self.high < 0


def resampled_means(values: np.ndarray, seed: int, samples: int = 2000) -> np.ndarray:
    """Return the means of `samples` resamples of the rows of values [users, columns]: [samples, columns]."""
    users = len(values)
    generator = np.random.default_rng(seed)
    means = np.empty((samples, values.shape[1]))
    step = max(1, _CELLS // users)
    for start in range(0, samples, step):
        size = min(step, samples - start)
        drawn = generator.integers(users, size=(size, users)) + users * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * users).reshape(size, users)
        means[start : start + size] = counts @ values / users
    return means


def bounds(means: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper bound of each column of resampled means [samples, columns]."""
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def interval(values: np.ndarray, seed: int = 0, samples: int = 2000, level: float = 0.95) -> Interval:
    """Return the mean of one value a user and its interval. Raises ValueError without users."""
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0:
        raise ValueError("a bootstrap needs at least one user")
    low, high = bounds(resampled_means(values[:, None], seed, samples), level)
    return Interval(float(values.mean()), float(low[0]), float(high[0]))


def paired(
    values_a: np.ndarray, values_b: np.ndarray, seed: int = 0, samples: int = 2000, level: float = 0.95
) -> Interval:
    """Return the mean of a - b over the same users, in the same order, and its interval."""
    if np.shape(values_a) != np.shape(values_b):
        raise ValueError(f"paired values of {np.shape(values_a)} and {np.shape(values_b)} users")
    return interval(np.asarray(values_a, np.float64) - np.asarray(values_b, np.float64), seed, samples, level)
