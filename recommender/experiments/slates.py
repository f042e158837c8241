"""What another way of ranking would have earned, from lists, rank by rank.

Estimators differ in what they take people to do (McInerney et al. 2020; Kiyohara et al. 2022), and vary the less the more
they take for granted:

- `sips`: what is taken at a rank may hang on the whole list. Right always; useless soon.
- `rips`: on what stands there and above (people read downwards). `cascade_dr`: the same, with a model of rewards, which may
  be wrong and then only costs precision.
- `iips`: on the item at the rank alone.

`served` and `other` [lists, ranks]: the probability of each shown item, given those above it, under the policy that served
and under the other; for `iips` the probability of the item at that rank whatever stands above. `rewards` [lists, ranks]. A
list that is shorter has probability 1 and reward 0 at the ranks that it lacks. What is estimated: the mean sum of rewards.
"""

from __future__ import annotations

import numpy as np

from recommender.experiments import off_policy
from recommender.experiments.intervals import ALPHA
from recommender.experiments.off_policy import OffPolicyEstimate, estimate_of

Groups = np.ndarray | None


def ratios(served: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return other / served. Raises ValueError for something that was shown with probability 0."""
    if np.any(served <= 0):
        raise ValueError("something was shown whose probability is kept as 0")
    return np.asarray(other / served)


def sips(
    served: np.ndarray, other: np.ndarray, rewards: np.ndarray, groups: Groups = None, alpha: float = ALPHA
) -> OffPolicyEstimate:
    """Standard: the list as one action."""
    return off_policy.ips(ratios(served, other).prod(1), rewards.sum(1), groups, alpha)


def snips(
    served: np.ndarray, other: np.ndarray, rewards: np.ndarray, groups: Groups = None, alpha: float = ALPHA
) -> OffPolicyEstimate:
    """As `sips`, self-normalised."""
    return off_policy.snips(ratios(served, other).prod(1), rewards.sum(1), groups, alpha)


def iips(
    served: np.ndarray, other: np.ndarray, rewards: np.ndarray, groups: Groups = None, alpha: float = ALPHA
) -> OffPolicyEstimate:
    """Independent: each rank by itself (Li et al. 2018)."""
    weights = ratios(served, other)
    return estimate_of((weights * rewards).sum(1), weights, groups, alpha)


def rips(
    served: np.ndarray, other: np.ndarray, rewards: np.ndarray, groups: Groups = None, alpha: float = ALPHA
) -> OffPolicyEstimate:
    """Reward interaction: each rank with those above it (McInerney et al. 2020)."""
    weights = ratios(served, other).cumprod(1)
    return estimate_of((weights * rewards).sum(1), weights, groups, alpha)


def cascade_dr(
    served: np.ndarray,
    other: np.ndarray,
    rewards: np.ndarray,
    predicted: np.ndarray,
    expected: np.ndarray,
    groups: Groups = None,
    alpha: float = ALPHA,
) -> OffPolicyEstimate:
    """Doubly robust, rank by rank (Kiyohara et al. 2022).

    `predicted` [lists, ranks]: the model's sum of rewards from this rank on, for the item shown; `expected`: its mean over
    what the other policy would show there, given what stands above. The model must have learned from other people.
    """
    weights = ratios(served, other).cumprod(1)
    before = np.concatenate([np.ones((len(weights), 1)), weights[:, :-1]], axis=1)
    contributions = (before * expected + weights * (rewards - predicted)).sum(1)
    return estimate_of(contributions, weights, groups, alpha)


def rank_model(rewards: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the plainest model for `cascade_dr` [lists, ranks]: the mean sum of rewards from each rank on.

    It knows no items, so that it is `predicted` and `expected` alike. Each half of the people is predicted by the other.
    """
    _, places = np.unique(groups, return_inverse=True)
    half = places % 2 == 1
    rest = np.cumsum(rewards[:, ::-1], axis=1)[:, ::-1]
    model = np.zeros(rewards.shape, dtype=np.float64)
    for part in (half, ~half):
        if part.any() and (~part).any():
            model[part] = rest[~part].mean(0)
    return model
