"""What another way of ranking would have earned, from what was shown: one item, or a list taken as one.

A reward that was seen counts as often as the other policy would have shown the same, by how often it was shown (Horvitz and
Thompson 1952). `weights` [n]: the probability under the other policy by the probability under the one that served, which
must be above 0 wherever the other's is. Contributions of all estimators are per list, so their intervals are of means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recommender.experiments.intervals import ALPHA, mean_interval


@dataclass(frozen=True)
class OffPolicyEstimate:
    """What a policy is estimated to earn a list, with an interval for a look at one time.

    `effective`: as many lists of the policy's own would tell as much (Kish 1965). `covered`: the mean weight, near 1 if the
    policy that served shows all that the other one would; where it is far below, some of that was never shown.
    """

    value: float
    low: float
    high: float
    effective: float
    covered: float
    lists: int


def ips(
    weights: np.ndarray, rewards: np.ndarray, groups: np.ndarray | None = None, alpha: float = ALPHA
) -> OffPolicyEstimate:
    """Inverse propensity scores; `rewards` [n]; `groups` [n]: whose each list is."""
    return estimate_of(weights * rewards, weights, groups, alpha)


def snips(
    weights: np.ndarray, rewards: np.ndarray, groups: np.ndarray | None = None, alpha: float = ALPHA
) -> OffPolicyEstimate:
    """Self-normalised: by the sum of the weights (Swaminathan and Joachims 2015). A little biased, and varies less."""
    mean = float(np.mean(weights)) if len(weights) else 0.0
    if not mean:
        return OffPolicyEstimate(0.0, -np.inf, np.inf, 0.0, 0.0, len(weights))
    value = float(np.mean(weights * rewards)) / mean
    return estimate_of(value + weights * (rewards - value) / mean, weights, groups, alpha)


def doubly_robust(
    weights: np.ndarray,
    rewards: np.ndarray,
    predicted: np.ndarray,
    expected: np.ndarray,
    groups: np.ndarray | None = None,
    alpha: float = ALPHA,
) -> OffPolicyEstimate:
    """What a model of rewards expects under the other policy, and what it missed, weighted (Dudik, Langford and Li 2011).

    `predicted` [n]: the model's reward for what was shown; `expected` [n]: its mean over what the other policy would show.
    The model must not have learned from the list that it predicts: fit it on other people.
    """
    return estimate_of(expected + weights * (rewards - predicted), weights, groups, alpha)


def estimate_of(
    contributions: np.ndarray, weights: np.ndarray, groups: np.ndarray | None = None, alpha: float = ALPHA
) -> OffPolicyEstimate:
    """Return the mean of contributions [n] as an estimate; `weights` [n] or [n, ranks]: the rank of least effect counts."""
    value, low, high = mean_interval(contributions, groups, alpha)
    columns = weights.reshape(len(weights), -1)
    effective = min((effective_size(column) for column in columns.T), default=0.0)
    covered = float(columns.mean(0).min()) if columns.size else 0.0
    return OffPolicyEstimate(value, low, high, effective, covered, len(contributions))


def effective_size(weights: np.ndarray) -> float:
    """Return the effective sample size of weights [n]: (sum)^2 / sum of squares."""
    squares = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0
