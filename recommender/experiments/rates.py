"""How often what is shown is taken: a rate over lists, whose uncertainty is that of people.

Lists of one person are alike, so people are the units: the rate is a ratio of sums, takes by lists, with the variance of
the delta method (Deng, Knoblich and Lu 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recommender.experiments.sequential import ALPHA, LEAST, Estimate, always_valid


@dataclass(frozen=True)
class Sums:
    """What is known of the people of an arm, added up; each may be an array over points of time. `people`: how many."""

    people: np.ndarray
    takes: np.ndarray
    lists: np.ndarray
    takes_squared: np.ndarray
    lists_squared: np.ndarray
    product: np.ndarray

    @classmethod
    def of(cls, takes: np.ndarray, lists: np.ndarray) -> Sums:
        """Add up people: `takes` [n] and `lists` [n] of each."""
        return cls(*(np.asarray(one[-1] if len(one) else 0.0) for one in _running(takes, lists)))

    @classmethod
    def running(cls, takes: np.ndarray, lists: np.ndarray) -> Sums:
        """Return the sums [n] after each person."""
        return cls(*_running(takes, lists))

    @property
    def rate(self) -> np.ndarray:
        """Takes by lists; 0 without lists."""
        return np.divide(self.takes, self.lists, out=np.zeros_like(self.takes, dtype=np.float64), where=self.lists > 0)

    @property
    def variance(self) -> np.ndarray:
        """The variance of the rate; infinite for fewer than two people."""
        spread = self.takes_squared - 2 * self.rate * self.product + self.rate**2 * self.lists_squared
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = np.maximum(spread, 0) / self.lists**2 * (self.people / (self.people - 1))
        return np.where(self.people > 1, variance, np.inf)


def _running(takes: np.ndarray, lists: np.ndarray) -> tuple[np.ndarray, ...]:
    takes, lists = np.asarray(takes, np.float64), np.asarray(lists, np.float64)
    parts = (np.ones_like(takes), takes, lists, takes**2, lists**2, takes * lists)
    return tuple(np.cumsum(part) for part in parts)


def rate(sums: Sums, expected: float, alpha: float = ALPHA) -> Estimate | None:
    """Return the rate of an arm with an always-valid interval; None for too few people. `expected`: the difference that is
    looked for, as a share of the rate."""
    people = int(sums.people)
    if people < LEAST:
        return None
    value = float(sums.rate)
    half = float(always_valid(sums.variance, expected * value if value else expected, alpha))
    return Estimate(value, max(value - half, 0.0), value + half, people)


def half_width(first: Sums, second: Sums, expected: float, alpha: float = ALPHA) -> np.ndarray:
    """Return half of the width of the always-valid interval around a difference of rates; infinite where an arm has too few
    people. Sums may be arrays [n] over time."""
    pooled = np.divide(
        first.takes + second.takes, np.maximum(first.lists + second.lists, 1), dtype=np.float64, casting="unsafe"
    )
    scale = expected * np.where(pooled > 0, pooled, 1.0)
    enough = np.minimum(first.people, second.people) >= LEAST
    variance = np.where(enough, first.variance + second.variance, 1.0)
    return np.where(enough & (variance > 0), always_valid(variance, scale, alpha), np.inf)


def difference(first: Sums, second: Sums, expected: float, alpha: float = ALPHA) -> Estimate | None:
    """Return the rate of the second arm less that of the first, always valid; None where an arm has too few people, or
    nothing was ever taken."""
    half = float(half_width(first, second, expected, alpha))
    if not np.isfinite(half):
        return None
    value = float(second.rate - first.rate)
    return Estimate(value, value - half, value + half, int(first.people + second.people))
