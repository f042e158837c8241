"""Metrics of predicted ratings: those of scikit-learn, with intervals that are paired between methods."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from recommender.studies.ratings.predictions import Prediction
from recommender.studies.ratings.rating_metrics import METRICS, measure_predictions


def test_measures_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    ratings, users = random.integers(1, 6, 800).astype(float), random.integers(0, 40, 800)
    like = np.clip(0.3 * (ratings >= 4) + random.random(800) * 0.7, 0, 1)
    prediction = Prediction(1 + 4 * like, like)
    liked, base = ratings >= 4, np.full(800, 0.4)
    measured = measure_predictions(prediction, ratings, liked, users, base)
    expected = {
        "accuracy": metrics.accuracy_score(liked, like >= 0.5),
        "balanced accuracy": metrics.balanced_accuracy_score(liked, like > 0.4),
        "F1": metrics.f1_score(liked, like > 0.4),
        "AUC": metrics.roc_auc_score(liked, like),
        "RMSE": metrics.root_mean_squared_error(ratings, prediction.rating),
        "MAE": metrics.mean_absolute_error(ratings, prediction.rating),
    }
    assert set(expected) == set(METRICS)
    for name, value in expected.items():
        low, high = measured.interval(name)
        assert measured.values[name] == pytest.approx(value)
        assert low < value < high and high - low < 0.2
        assert np.mean(measured.resampled[name]) == pytest.approx(value, abs=0.01)  # AUC: bins are fine enough


def test_a_method_does_not_differ_from_itself():
    prediction = Prediction(np.linspace(1, 5, 100), np.linspace(0, 1, 100))
    ratings, users = np.tile([1.0, 5.0], 50), np.arange(100) % 10
    measured = [measure_predictions(prediction, ratings, ratings >= 4, users, np.full(100, 0.5)) for _ in range(2)]
    assert measured[0].difference(measured[1], "AUC") == (0, 0, 0)


def noisy(seed: int, noise: float, rows: int = 2000):
    """Return a prediction of likes with noise, and what it is measured by."""
    random = np.random.default_rng(seed)
    ratings, users = random.integers(1, 6, rows).astype(float), random.integers(0, 50, rows)
    like = np.clip((ratings - 1) / 4 + random.normal(0, noise, rows), 0, 1)
    return Prediction(1 + 4 * like, like), ratings, ratings >= 4, users, np.full(rows, 0.4)


def test_a_better_method_is_better_by_the_paired_interval():
    (good, *facts), (bad, *_) = noisy(0, 0.2), noisy(0, 0.6)
    better, worse = (measure_predictions(prediction, *facts, samples=200) for prediction in (good, bad))
    difference, low, high = better.difference(worse, "AUC")
    assert 0 < low <= difference <= high
    difference, low, high = better.difference(worse, "RMSE")
    assert low <= difference <= high < 0


def test_the_seed_decides_the_resamples_and_users_are_what_is_drawn():
    prediction, *facts = noisy(1, 0.4)
    first, same, other = (measure_predictions(prediction, *facts, seed=seed, samples=100) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.resampled["MAE"], same.resampled["MAE"])
    assert not np.array_equal(first.resampled["MAE"], other.resampled["MAE"])
    one_user = measure_predictions(prediction, *facts[:2], np.zeros(2000, int), facts[3], samples=50)
    assert np.ptp(one_user.resampled["MAE"]) == 0


def test_without_dislikes_a_resample_counts_as_chance():
    users = np.array([0, 0, 1, 1])
    ratings = np.array([5.0, 5.0, 5.0, 1.0])
    measured = measure_predictions(
        Prediction(ratings, np.array([0.9, 0.8, 0.7, 0.1])), ratings, ratings >= 4, users, np.full(4, 0.5), samples=100
    )
    assert set(np.round(measured.resampled["AUC"], 6)) == {0.5, 1.0}  # user 0 twice has no dislike
    assert measured.values["AUC"] == 1 and all(np.isfinite(measured.resampled[name]).all() for name in METRICS)
