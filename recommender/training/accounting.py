"""The accountant of private training: how much noise a budget asks for, and what was spent.

One step is a Gaussian mechanism over a Poisson sample of the users, who are added or removed one at a time; steps add up.
Abadi et al., "Deep learning with differential privacy", CCS 2016. The sums are those of privacy loss distributions in
dp-accounting (Google), rounded so that they tell too much rather than too little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from recommender.errors import ConfigError, import_extra

#: the least noise, with which anything is told, and the most
LEAST, _MOST = 0.05, 1e5
_CLOSE = 1e-3
#: a step of the distributions, as a share of the epsilon that is asked for; and the smallest one
_GRAIN, _FINEST = 1e-4, 1e-4


@dataclass(frozen=True)
class Mechanism:
    """What is released of the users: `steps` noisy sums over Poisson samples, and noisy counts beside them.

    `rate`: the chance of each user to take part in a step; `counts_noise`: of counts of norm 1 a user, None: no counts.
    """

    rate: float
    steps: int
    counts_noise: float | None = None


def epsilon_of(mechanism: Mechanism, noise: float, delta: float, about: float = 10.0) -> float:
    """Return the epsilon that a mechanism spends at `delta`; `noise`: its multiplier, the deviation at a norm of 1.

    `about`: what is expected, which decides how finely it is computed. Raises RecommenderError without the extra `privacy`.
    """
    dp: Any = import_extra("dp_accounting", "training.privacy", "privacy")
    pld: Any = import_extra("dp_accounting.pld", "training.privacy", "privacy")
    accountant = pld.PLDAccountant(value_discretization_interval=max(about * _GRAIN, _FINEST))
    step = dp.PoissonSampledDpEvent(mechanism.rate, dp.GaussianDpEvent(noise))
    accountant.compose(step, mechanism.steps)
    if mechanism.counts_noise is not None:
        accountant.compose(dp.GaussianDpEvent(mechanism.counts_noise))
    return float(accountant.get_epsilon(delta))


@lru_cache(maxsize=8)
def noise_for(mechanism: Mechanism, epsilon: float, delta: float) -> float:
    """Return the least noise multiplier with which a mechanism spends at most `epsilon` at `delta`, to a thousandth.

    It is at least `LEAST`. Raises ConfigError if the counts alone spend as much, RecommenderError without the extra
    `privacy`.
    """

    spent: dict[float, float] = {}

    def within(noise: float) -> bool:
        if noise not in spent:
            spent[noise] = epsilon_of(mechanism, noise, delta, epsilon)
        return spent[noise] <= epsilon

    def excess(noise: float) -> float:
        return math.log(spent[noise] / epsilon) if spent[noise] > 0 else -math.inf

    low, high = 1.0, 1.0
    while not within(high):
        low, high = high, high * 4
        if high > _MOST:
            raise ConfigError(
                f"training.privacy: epsilon {epsilon:g} at delta {delta:.3g} is spent before the first step",
                "raise training.privacy.epsilon or counts_noise, or take fewer steps",
            )
    while low == high or (within(low) and low > LEAST):
        low, high = max(low / 2, LEAST), low
    if within(low):
        return low
    turn = 0
    while high / low > 1 + _CLOSE:
        turn += 1
        middle = _between(low, high, excess(low), excess(high), halve=turn % 3 == 0)
        low, high = (low, middle) if within(middle) else (middle, high)
    return high


def _between(low: float, high: float, over_low: float, over_high: float, halve: bool) -> float:
    """Return a noise between two, of which the first spends too much by `over_low` in logarithms and the other does not.

    It is where a straight line between both, in logarithms, says that the budget is just spent, moved a little toward the
    end that is farther away, so that the next bracket is likely to be narrow enough. `halve`: in the middle instead.
    """
    step = math.log(high / low)
    place = step / 2
    if not halve and math.isfinite(over_low - over_high):
        place = step * over_low / (over_low - over_high)
        place += math.copysign(0.4 * _CLOSE, step / 2 - place)
    return low * math.exp(min(max(place, 0.1 * _CLOSE), step - 0.1 * _CLOSE))
