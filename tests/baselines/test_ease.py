"""EASE: the solution of its regression, and recency where a decay is given."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.baselines import FitData
from recommender.baselines.ease import Ease
from recommender.baselines.history_matrix import history_matrix
from recommender.baselines.topk import rank_topk
from tests.baselines.worlds import ITEMS, checkerboard, random_histories


@pytest.mark.parametrize("seed", range(3))
def test_ease_solves_its_regression(seed):
    train, items, strength = random_histories(seed), 12, 3.0
    seen = history_matrix(train, items).toarray().astype(np.float64)
    weights = np.zeros((items, items))
    for item in range(items):  # ridge regression of each item on all others, one at a time
        rest = np.delete(np.arange(items), item)
        gram = seen[:, rest].T @ seen[:, rest] + strength * np.eye(len(rest))
        weights[rest, item] = np.linalg.solve(gram, seen[:, rest].T @ seen[:, item])
    ranker = Ease("ease", strength)
    ranker.fit(FitData(train, items))
    np.testing.assert_allclose(ranker.scores(train), seen @ weights, rtol=1e-3, atol=1e-4)


def test_the_decay_lets_recent_taste_outweigh_old_taste():
    baseline = Ease("ease-decay", 100.0, decay=8.0)
    baseline.fit(FitData(checkerboard(), ITEMS))
    turned = np.concatenate([np.arange(1, 16, 2), np.arange(0, 10, 2)])
    for history in (turned, turned[::-1]):
        assert rank_topk(baseline.scores([history]), [history], 1)[0, 0] % 2 == history[-1] % 2


def test_the_decay_is_for_scores_and_not_for_the_fit():
    plain, decayed = Ease("plain", 10.0), Ease("decayed", 10.0, decay=2.0)
    for baseline in (plain, decayed):
        baseline.fit(FitData(checkerboard(), ITEMS))
    np.testing.assert_array_equal(plain.scores([np.array([3])]), decayed.scores([np.array([3])]))
    assert not np.allclose(plain.scores([np.array([3, 5])]), decayed.scores([np.array([3, 5])]))


def test_an_item_does_not_predict_itself():
    baseline = Ease("ease", 1.0)
    baseline.fit(FitData(checkerboard(), ITEMS))
    scores = baseline.scores([np.array([item]) for item in range(ITEMS)])
    assert (np.diag(scores) == 0).all()
