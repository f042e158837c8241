"""Discounted gains against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from recommender.numerics.gains import discounted_gains, single_target_ndcg


def test_the_gain_of_one_target_is_the_ndcg_of_scikit_learn():
    for place in range(1, 13):
        relevance, scores = np.zeros((1, 12)), -np.arange(12.0)[None]
        relevance[0, place - 1] = 1
        assert single_target_ndcg(np.array([place]), 10)[0] == pytest.approx(ndcg_score(relevance, scores, k=10))


def test_gains_fall_with_the_rank():
    assert discounted_gains(np.array([1, 3])).tolist() == [1.0, 0.5]
