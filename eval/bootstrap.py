"""Percentile bootstrap over users: confidence intervals of means and of differences of means.

Users are the unit of resampling, as the metrics of one user depend on each other. All estimates of one Bootstrap use
the same resamples, so differences between models are paired (Efron and Tibshirani, 1993, chapters 13 and 16).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
SAMPLES = 2000
_CELLS_AT_ONCE = 4_000_000  # drawn at a time, to bound memory by tens of megabytes


@dataclass(frozen=True)
class Estimates:
    """Means and the bounds of their confidence intervals, three arrays of one shape."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def excludes_zero(self) -> np.ndarray:
        """Where zero lies outside the interval: for differences, where they are significant at this level."""
        return (self.low > 0) | (self.high < 0)


class Bootstrap:
    """The resampled means of values [users, models, metrics].

    A metric that is NaN for some user and model is taken over the users for whom every model has it, so that all models
    are compared on the same users; without any such user its estimates are NaN.
    """

    def __init__(self, values: np.ndarray, seed: int = 0, samples: int = SAMPLES, level: float = LEVEL) -> None:
        """Resample. Raises ValueError without users."""
        values = np.asarray(values, dtype=np.float64)
        if values.ndim != 3:
            raise ValueError(f"values of {values.ndim} axes, expected users, models and metrics")
        if len(values) == 0:
            raise ValueError("a bootstrap needs at least one user")
        defined = ~np.isnan(values).any(axis=1)
        self.users = defined.sum(axis=0)
        """The number of users behind each metric, [metrics]."""
        self._level = level
        filled = np.where(defined[:, None], values, 0.0)
        with np.errstate(invalid="ignore"):
            self._mean = filled.sum(axis=0) / self.users
            self._resampled_means = _resample(filled, defined, seed, samples)

    def means(self) -> Estimates:
        """Return the mean of every model and metric, [models, metrics]."""
        return self._estimates(self._mean, self._resampled_means)

    def differences(self, reference: int) -> Estimates:
        """Return every model less the reference (its position), paired, [models, metrics]."""
        resampled = self._resampled_means - self._resampled_means[:, [reference]]
        return self._estimates(self._mean - self._mean[reference], resampled)

    def _estimates(self, mean: np.ndarray, resampled: np.ndarray) -> Estimates:
        low, high = np.quantile(resampled, [(1 - self._level) / 2, (1 + self._level) / 2], axis=0)
        return Estimates(mean, low, high)


def _resample(values: np.ndarray, defined: np.ndarray, seed: int, samples: int) -> np.ndarray:
    """Return the means of resamples of the users [samples, models, metrics]; values hold 0 where not defined."""
    users, models, metrics = values.shape
    generator = np.random.default_rng(seed)
    means = np.empty((samples, models, metrics))
    step = max(1, _CELLS_AT_ONCE // users)
    for start in range(0, samples, step):
        size = min(step, samples - start)
        drawn = generator.integers(users, size=(size, users)) + users * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * users).reshape(size, users).astype(np.float64)
        sums = (counts @ values.reshape(users, -1)).reshape(size, models, metrics)
        means[start : start + size] = sums / (counts @ defined)[:, None]
    return means
