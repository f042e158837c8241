"""How good predicted ratings and likes are, with intervals: the bootstrap resamples users, all methods alike.

Everything but AUC is a function of sums over users, so a resample needs these sums alone; AUC is taken from the counts
of liked and disliked rows in bins of the score, fine enough for three digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from recommender.studies.ratings.predictions import Prediction

METRICS = ("accuracy", "balanced accuracy", "F1", "AUC", "RMSE", "MAE")
LOWER_IS_BETTER = ("RMSE", "MAE")
_BINS = 200


@dataclass(frozen=True)
class Measured:
    """A value of each metric and its resampled values [samples], which are paired between methods."""

    values: Mapping[str, float]
    resampled: Mapping[str, np.ndarray]

    def interval(self, metric: str) -> tuple[float, float]:
        """Return the bounds of the 95 % interval."""
        return _bounds(self.resampled[metric])

    def difference(self, other: Measured, metric: str) -> tuple[float, float, float]:
        """Return this value less the other's, and the bounds of its paired interval."""
        difference = self.values[metric] - other.values[metric]
        return (difference, *_bounds(self.resampled[metric] - other.resampled[metric]))


def measure(
    prediction: Prediction,
    ratings: np.ndarray,
    liked: np.ndarray,
    users: np.ndarray,
    base_rate: np.ndarray,
    seed: int = 0,
    samples: int = 1000,
) -> Measured:
    """Measure predictions of rows [n] against their ratings and likes; `users` without gaps.

    accuracy: of saying "likes" at a probability of .5, which costs every mistake alike. Balanced accuracy and F1: of
    saying so above `base_rate` [n], the share of likes in the row's training fold, which costs both classes alike.
    """
    sums = _sums(prediction, ratings, liked, users, base_rate)
    whole = _from_means(sums.mean(axis=0))
    values = {metric: float(value) for metric, value in whole.items()}
    values["AUC"] = float(roc_auc_score(liked, prediction.like))
    return Measured(values, _from_means(_resampled_means(sums, seed, samples)))


def _bounds(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _resampled_means(values: np.ndarray, seed: int, samples: int) -> np.ndarray:
    """Return the means of resamples of users, values [users, columns] -> [samples, columns]; the seed decides them."""
    users = len(values)
    drawn = np.random.default_rng(seed).multinomial(users, np.full(users, 1 / users), size=samples)
    return drawn @ values / users


def _sums(
    prediction: Prediction, ratings: np.ndarray, liked: np.ndarray, users: np.ndarray, base_rate: np.ndarray
) -> np.ndarray:
    """Return each user's sums [users, columns]: rows, likes, and what the metrics are made of."""
    error = prediction.rating - ratings
    plain, balanced = prediction.like >= 0.5, prediction.like > base_rate
    columns = [np.ones(len(users)), liked, plain == liked, balanced & liked, ~balanced & ~liked, error**2, abs(error)]
    count = int(users.max()) + 1
    parts = [np.bincount(users, np.asarray(column, np.float64), count)[:, None] for column in columns]
    edges = np.unique(np.quantile(prediction.like, np.linspace(0, 1, _BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, prediction.like, side="right")
    for side in (liked, ~liked):
        places = users[side] * _BINS + bins[side]
        parts.append(np.bincount(places, minlength=count * _BINS).reshape(count, _BINS).astype(np.float64))
    return np.hstack(parts)


def _from_means(means: np.ndarray) -> dict[str, np.ndarray]:
    """Return the metrics from mean sums [..., columns]; a resample without one of the classes counts as chance."""
    rows, likes, right, hits, spared, squared, absolute = (means[..., column] for column in range(7))
    liked, disliked = means[..., 7 : 7 + _BINS], means[..., 7 + _BINS :]
    others = rows - likes
    said = hits + others - spared
    below = np.cumsum(disliked, axis=-1) - disliked / 2
    both = likes * others
    sides = (_ratio(hits, likes, 0.5), _ratio(spared, others, 0.5))
    return {
        "accuracy": right / rows,
        "balanced accuracy": (sides[0] + sides[1]) / 2,
        "F1": _ratio(2 * hits, likes + said, 0.0),
        "AUC": _ratio((liked * below).sum(axis=-1), both, 0.5),
        "RMSE": np.sqrt(squared / rows),
        "MAE": absolute / rows,
    }


def _ratio(above: np.ndarray, below: np.ndarray, otherwise: float) -> np.ndarray:
    return np.where(below > 0, above / np.where(below > 0, below, 1), otherwise)
