"""A gate: fusion weights that depend on the history and on how far the scorers agree about it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recommender.baselines.fusion.score_views import Weights, mask_seen, weighted_scores
from recommender.baselines.topk import PADDING, rank_topk

FEATURES = ("log length", "mean log count", "share of rare items", "recent drift", "agreement")
"""Of a history: the logarithm of 1 + its length; the mean logarithm of 1 + how often each of its items was taken by
anybody; the share of its items that belong to the half of the catalogue that was taken least; how much more that mean is
of its last five items than of all; the overlap of the first ten unseen items of the scorers, mean over pairs of them."""
_RECENT = 5
_FIRST = 10
_FARTHEST = 3.0
"""Standard deviations. A history that is unlike those of the fit gets the weights of the farthest that is like them."""


@dataclass(frozen=True)
class Gate:
    """What makes weights depend on a history.

    slopes: of each scorer, float64 [2, features]: what a standard deviation of each feature adds to the weights of its
    two views. mean, spread: of the features where the gate was fitted, [features]. counts: how often each item was
    taken, [items]; nothing else is known of anybody.
    """

    slopes: Mapping[str, np.ndarray]
    mean: np.ndarray
    spread: np.ndarray
    counts: np.ndarray

    def bounded(self, features: np.ndarray) -> np.ndarray:
        """Return features [histories, features] in standard deviations from the mean, three at most."""
        return np.clip((features - self.mean) / self.spread, -_FARTHEST, _FARTHEST)

    def weights(
        self, weights: Mapping[str, Weights], scores: Mapping[str, np.ndarray], histories: Sequence[np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Return each scorer's weights for each history, [histories, 2]; `weights`: those of a mean history."""
        features = self.bounded(history_features(list(scores.values()), histories, self.counts))
        return {name: np.asarray(weights[name]) + features @ self.slopes[name].T for name in scores}

    def recounted(self, histories: Sequence[np.ndarray], items: int) -> Gate:
        """Return the gate with the counts of other histories, and of another number of items."""
        return replace(self, counts=item_counts(histories, items))

    def renamed(self, names: Mapping[str, str]) -> Gate:
        """Return the gate with other names for its scorers."""
        return replace(self, slopes={names[name]: slopes for name, slopes in self.slopes.items()})

    def scaled(self, factors: Mapping[str, float]) -> Gate:
        """Return the gate with the slopes of some scorers times a factor."""
        return replace(self, slopes={name: factors.get(name, 1.0) * slopes for name, slopes in self.slopes.items()})


def fused_scores(
    scores: Mapping[str, np.ndarray],
    histories: Sequence[np.ndarray],
    weights: Mapping[str, Weights],
    gate: Gate | None,
) -> np.ndarray:
    """Return the weighted sum of all scorers' views, float32 [users, items], -inf for seen items."""
    each: Mapping[str, Weights | np.ndarray] = weights if gate is None else gate.weights(weights, scores, histories)
    total = np.zeros(next(iter(scores.values())).shape, np.float32)
    for name, part in scores.items():
        total += weighted_scores(part, histories, each[name])
    return mask_seen(total, histories)


def history_features(scores: Sequence[np.ndarray], histories: Sequence[np.ndarray], counts: np.ndarray) -> np.ndarray:
    """Return the `FEATURES` of histories, float64 [histories, features]; `scores` of each scorer, [histories, items]."""
    log_counts, rare = np.log1p(counts), counts <= np.median(counts)
    own = np.zeros((len(histories), len(FEATURES) - 1))
    for row, history in zip(own, histories, strict=True):
        if len(history):
            taken = log_counts[history]
            drift = taken[-_RECENT:].mean() - taken.mean()
            row[:] = np.log1p(len(history)), taken.mean(), rare[history].mean(), drift
    return np.column_stack([own, agreement(scores, histories)])


def agreement(scores: Sequence[np.ndarray], histories: Sequence[np.ndarray]) -> np.ndarray:
    """Return the share of their first ten unseen items that two scorers have in common, mean over all pairs, [histories].

    0 with a single scorer.
    """
    firsts = [rank_topk(part, histories, _FIRST) for part in scores]
    shares = [
        ((one[:, :, None] == other[:, None]) & (one != PADDING)[:, :, None]).sum((1, 2)) / _FIRST
        for one, other in itertools.combinations(firsts, 2)
    ]
    return np.mean(shares, axis=0) if shares else np.zeros(len(histories))


def item_counts(histories: Sequence[np.ndarray], items: int) -> np.ndarray:
    """Return how often each item stands in the histories, float64 [items]."""
    return np.bincount(np.concatenate([np.empty(0, np.int64), *histories]), minlength=items).astype(np.float64)
