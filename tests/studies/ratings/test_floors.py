"""Floors: predictions from means alone, calibrated on the validation rows."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.studies.ratings.floors import FLOORS, global_mean, item_mean, predict, user_item_mean
from recommender.studies.ratings.statistics import Biases, KnownRatings
from tests.studies.ratings.ratings_world import auc, fold_of, make_content, quality

VALUES = np.array([5.0, 3.0, 1.0])
KNOWN = KnownRatings(np.array([0, 0, 1]), np.array([0, 1, 1]), VALUES, VALUES >= 4, 3, 3)


def test_the_global_mean_is_the_same_for_every_pair():
    assert global_mean(KNOWN, np.array([0, 2]), np.array([1, 2])).tolist() == [3, 3]


def test_the_item_mean_ignores_the_user_and_the_last_floor_does_not():
    users, items = np.array([0, 1]), np.array([1, 1])
    assert len(set(item_mean(KNOWN, users, items))) == 1
    expected = Biases.fit(KNOWN).predict(users, items)
    np.testing.assert_allclose(user_item_mean(KNOWN, users, items), expected)
    assert expected[0] > expected[1]


def test_who_and_what_nobody_knows_gets_the_mean():
    for floor in FLOORS.values():
        assert floor(KNOWN, np.array([2]), np.array([2])) == pytest.approx([3])


def test_a_floor_without_differences_tells_the_share_of_likes():
    fold = fold_of(None)
    prediction = predict(global_mean, fold)
    assert set(prediction.like) == {fold.all_known.liked.mean()}
    assert set(prediction.rating) == {fold.all_known.values.mean()}


def test_items_that_everybody_likes_are_found_by_their_mean():
    fold = fold_of(3 * quality(make_content(), "image"))
    prediction = predict(item_mean, fold)
    assert auc(fold, prediction) > 0.85
    assert ((prediction.like > 0) & (prediction.like < 1)).all()
    assert np.corrcoef(prediction.rating, prediction.like)[0, 1] > 0.9
