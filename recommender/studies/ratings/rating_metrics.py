"""Metrics of predicted ratings and likes, with bootstrap intervals over users; all methods share the resamples.

Every metric but AUC is a function of sums over users, so a resample needs only these sums. AUC is computed from the
counts of liked and disliked rows in bins of the score, which is exact to three digits.
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
class Measures:
    """The value of each metric and its resampled values [samples], which are paired between methods."""

    values: Mapping[str, float]
    resampled: Mapping[str, np.ndarray]

    def interval(self, metric: str) -> tuple[float, float]:
        """Return the bounds of the 95 % interval."""
        return _bounds(self.resampled[metric])

    def difference(self, other: Measures, metric: str) -> tuple[float, float, float]:
        """Return this value less the other's, and the bounds of its paired interval."""
        difference = self.values[metric] - other.values[metric]
        return (difference, *_bounds(self.resampled[metric] - other.resampled[metric]))


def measure_predictions(
    prediction: Prediction,
    ratings: np.ndarray,
    liked: np.ndarray,
    users: np.ndarray,
    base_rate: np.ndarray,
    seed: int = 0,
    samples: int = 1000,
) -> Measures:
    """Measure predictions of rows [n] against their ratings and likes; `users`: indices from 0 on, without gaps.

    Accuracy is that of predicting a like from a probability of .5 on, so that all mistakes count the same. Balanced
    accuracy and F1 are those of predicting it above `base_rate` [n], the share of likes in the row's training fold, so
    that both classes count the same.
    """
    sums = _sums(prediction, ratings, liked, users, base_rate)
    whole = _from_means(sums.mean(axis=0))
    values = {metric: float(value) for metric, value in whole.items()}
    values["AUC"] = float(roc_auc_score(liked, prediction.like))
    return Measures(values, _from_means(_resampled_means(sums, seed, samples)))


def _bounds(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _resampled_means(values: np.ndarray, seed: int, samples: int) -> np.ndarray:
    """Return the means [samples, columns] of resamples of the users of values [users, columns]."""
    users = len(values)
    drawn = np.random.default_rng(seed).multinomial(users, np.full(users, 1 / users), size=samples)
    return drawn @ values / users


def _sums(
    prediction: Prediction, ratings: np.ndarray, liked: np.ndarray, users: np.ndarray, base_rate: np.ndarray
) -> np.ndarray:
    """Return each user's sums [users, columns]: rows, likes, and the terms of the metrics."""
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
    """Return the metrics from mean sums [..., columns]; without one of the classes they are those of chance."""
    rows, likes, right, true_positives, true_negatives, squared, absolute = (means[..., column] for column in range(7))
    liked, disliked = means[..., 7 : 7 + _BINS], means[..., 7 + _BINS :]
    dislikes = rows - likes
    positives = true_positives + dislikes - true_negatives
    disliked_below = np.cumsum(disliked, axis=-1) - disliked / 2
    recalls = _ratio(true_positives, likes, 0.5), _ratio(true_negatives, dislikes, 0.5)
    return {
        "accuracy": right / rows,
        "balanced accuracy": (recalls[0] + recalls[1]) / 2,
        "F1": _ratio(2 * true_positives, likes + positives, 0.0),
        "AUC": _ratio((liked * disliked_below).sum(axis=-1), likes * dislikes, 0.5),
        "RMSE": np.sqrt(squared / rows),
        "MAE": absolute / rows,
    }


def _ratio(numerator: np.ndarray, denominator: np.ndarray, otherwise: float) -> np.ndarray:
    return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1), otherwise)
