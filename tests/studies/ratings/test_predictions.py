"""From probabilities to predictions, and class weights with their correction."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.studies.ratings.predictions import Prediction, class_weights, unweighted


def test_a_prediction_is_the_expected_rating_and_the_chance_of_a_like():
    prediction = Prediction.of(np.array([[0.5, 0.25, 0.25], [0, 0, 1.0]]), np.array([1.0, 3.0, 5.0]), likes=3.0)
    assert prediction.rating.tolist() == [2.5, 5.0] and prediction.like.tolist() == [0.5, 1.0]
    assert prediction.weights is None


def test_unweighting_undoes_what_weights_do():
    truth, weights = np.array([[0.7, 0.2, 0.1]]), np.array([0.5, 2.0, 3.0])
    tilted = truth * weights / (truth * weights).sum()
    assert np.allclose(unweighted(tilted, weights), truth)
    assert class_weights(np.array([0, 0, 0, 2]), 3).tolist() == [4 / 6, 0, 2]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_classes_that_occur_weigh_the_same_and_rows_one_on_average(classes):
    weights = class_weights(np.array(classes), 5)
    totals = weights * np.bincount(classes, minlength=5)
    present = np.bincount(classes, minlength=5) > 0
    np.testing.assert_allclose(totals[present], len(classes) / present.sum())
    assert (weights[~present] == 0).all()
    np.testing.assert_allclose(weights[classes].mean(), 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_weighting_and_unweighting_cancel(seed):
    random = np.random.default_rng(seed)
    truth = random.dirichlet(np.ones(4), size=5)
    weights = random.uniform(0.2, 5, 4)
    tilted = truth * weights / (truth * weights).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(unweighted(tilted, weights), truth, atol=1e-9)
