"""Results that may be looked at whenever one likes: intervals that hold at all times together, not just at one.

- `always_valid`: around a mean, or a difference of means, of many units: the mixture sequential probability ratio test with
  a normal prior (Robbins 1970; Johari, Koomen, Pekelis and Walsh 2022), with the variance estimated, as an asymptotic
  confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024). It needs some units to begin with.
- `coin_interval`, `log_evidence`: of tosses of a coin, exact from the first on: the beta-binomial mixture (Ville 1939;
  Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, xlog1py, xlogy

ALPHA = 0.05
#: units of an arm before which nothing is said: a variance estimated of fewer is not to be trusted
LEAST = 100
_STEPS = 80


@dataclass(frozen=True)
class Estimate:
    """A value and an interval around it. `units`: people or lists that it rests on."""

    value: float
    low: float
    high: float
    units: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


def always_valid(variance: float | np.ndarray, scale: float | np.ndarray, alpha: float = ALPHA) -> np.ndarray:
    """Return half of the width of an always-valid interval around an estimate.

    `variance`: of the estimate, that is of a unit by units. `scale`: about how far off 0 the estimate is expected, which
    decides when the interval is at its narrowest, not whether it holds. All may be arrays [n].
    """
    variance, prior = np.asarray(variance, np.float64), np.square(np.asarray(scale, np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        evidence = 2 * math.log(1 / alpha) + np.log((variance + prior) / variance)
        width = np.sqrt(variance * (variance + prior) / prior * evidence)
    return np.where(variance > 0, width, 0.0)


def log_evidence(heads: float | np.ndarray, tosses: float | np.ndarray, chance: float = 0.5) -> np.ndarray:
    """Return the logarithm of an e-value against a coin that falls on its head with `chance`.

    If that is so it is above log 1/alpha, ever, with probability alpha at most. Counts may be arrays [n] over time.
    """
    heads, tosses = np.asarray(heads, np.float64), np.asarray(tosses, np.float64)
    tails = tosses - heads
    with np.errstate(divide="ignore"):
        return np.asarray(betaln(heads + 1, tails + 1) - xlogy(heads, chance) - xlog1py(tails, -chance))


def coin_interval(heads: int, tosses: int, alpha: float = ALPHA) -> Estimate:
    """Return how often a coin falls on its head, with the chances that its evidence does not rule out."""
    share = heads / tosses if tosses else 0.5
    limit = math.log(1 / alpha)
    low = _boundary(heads, tosses, share, 0.0, limit)
    high = _boundary(heads, tosses, share, 1.0, limit)
    return Estimate(share, low, high, tosses)


def _boundary(heads: int, tosses: int, inside: float, outside: float, limit: float) -> float:
    """Return the chance between two at which the evidence reaches its limit; `outside` where it never does."""
    if log_evidence(heads, tosses, outside) < limit:
        return outside
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        if log_evidence(heads, tosses, middle) < limit:
            inside = middle
        else:
            outside = middle
    return outside
