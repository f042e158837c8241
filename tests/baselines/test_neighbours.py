"""Popularity and neighbours: each equals a count by brute force."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.baselines import FitData
from recommender.baselines.history_matrix import history_matrix
from recommender.baselines.neighbours import ItemKNN, Popularity, SequentialItemKNN, UserKNN, pair_counts
from recommender.baselines.topk import rank_topk
from tests.baselines.worlds import ITEMS, checkerboard, random_histories


def test_popularity_counts_users_not_events():
    baseline = Popularity()
    baseline.fit(FitData([np.array([1, 1, 1]), np.array([2]), np.array([2, 0])], 4))
    np.testing.assert_array_equal(baseline.scores([np.array([0])]), [[1, 1, 2, 0]])


@pytest.mark.parametrize("seed", range(3))
def test_item_knn_equals_a_brute_force_count(seed):
    train, items = random_histories(seed), 12
    users = [{user for user, history in enumerate(train) if item in history} for item in range(items)]
    expected = np.zeros((len(train), items))
    for user, history in enumerate(train):
        for candidate in range(items):
            for seen in history:
                if seen != candidate and users[seen] and users[candidate]:
                    root = (len(users[seen]) * len(users[candidate])) ** 0.5
                    expected[user, candidate] += len(users[seen] & users[candidate]) / root
    ranker = ItemKNN()
    ranker.fit(FitData(train, items))
    np.testing.assert_allclose(ranker.scores(train), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_user_knn_equals_a_brute_force_count(seed):
    train, items, neighbours, decay = random_histories(seed), 12, 4, 3.0
    rows = history_matrix(train, items, decay).toarray().astype(np.float64)
    rows[[len(history) == 0 for history in train]] = 0
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    near = unit[:10] @ unit.T
    expected = np.zeros((10, items))
    for user in range(10):
        for other in np.argsort(-near[user], kind="stable")[:neighbours]:
            expected[user] += near[user, other] * rows[other]
    ranker = UserKNN(neighbours, decay)
    ranker.fit(FitData(train, items))
    np.testing.assert_allclose(ranker.scores(train[:10]), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_sequential_item_knn_equals_a_brute_force_count(seed):
    train, items, window, decay = random_histories(seed), 12, 3, 2.0
    near, popularity = np.zeros((items, items)), np.zeros(items)
    for history in train:
        popularity[history] += 1
        for at, one in enumerate(history):
            for gap in range(1, window + 1):
                if at + gap < len(history):
                    near[one, history[at + gap]] += np.exp(-gap / decay)
                    near[history[at + gap], one] += np.exp(-gap / decay)
    expected = np.zeros((len(train), items))
    for user, history in enumerate(train):
        for age, seen in enumerate(reversed(history)):
            for candidate in range(items):
                root = max(popularity[seen] * popularity[candidate], 1) ** 0.5
                expected[user, candidate] += np.exp(-age / decay) * near[seen, candidate] / root
    ranker = SequentialItemKNN(window, decay)
    ranker.fit(FitData(train, items))
    np.testing.assert_allclose(ranker.scores(train), expected, rtol=1e-4, atol=1e-5)


def test_sequential_item_knn_goes_on_from_the_end_of_the_history_where_item_knn_sees_no_order():
    walks = [np.roll(np.arange(12), -start)[:9] for start in range(12)]
    forth, back = [np.array([0, 1, 2])], [np.array([2, 1, 0])]
    ranker, blind = SequentialItemKNN(window=2), ItemKNN()
    ranker.fit(FitData(walks, 12))
    blind.fit(FitData(walks, 12))
    assert rank_topk(ranker.scores(forth), forth, 1)[0, 0] == 3
    assert rank_topk(ranker.scores(back), back, 1)[0, 0] == 11
    np.testing.assert_array_equal(blind.scores(forth), blind.scores(back))


@pytest.mark.parametrize("seed", range(3))
def test_pair_counts_are_those_of_all_pairs_at_the_gap(seed):
    histories, gap = random_histories(seed), 2
    expected = np.zeros((12, 12))
    for history in histories:
        for earlier, later in zip(history, history[gap:], strict=False):
            expected[earlier, later] += 0.5
    np.testing.assert_allclose(pair_counts(histories, 12, gap, 0.5).toarray(), expected)


def test_the_decay_of_sequential_item_knn_lets_recent_taste_outweigh_old_taste():
    baseline = SequentialItemKNN()
    baseline.fit(FitData(checkerboard(), ITEMS))
    turned = np.concatenate([np.arange(1, 16, 2), np.arange(0, 10, 2)])
    for history in (turned, turned[::-1]):
        assert rank_topk(baseline.scores([history]), [history], 1)[0, 0] % 2 == history[-1] % 2


def test_an_item_is_no_neighbour_of_itself():
    baseline = SequentialItemKNN(window=2)
    baseline.fit(FitData([np.array([0, 1, 0, 1]), np.array([1, 0, 1])], 2))
    assert baseline.scores([np.array([0])])[0, 0] == 0


def test_user_knn_without_decay_sees_no_order():
    baseline = UserKNN(neighbours=5, decay=None)
    baseline.fit(FitData(checkerboard(), ITEMS))
    forth, back = baseline.scores([np.array([0, 2, 4]), np.array([4, 2, 0])])
    np.testing.assert_allclose(forth, back, rtol=1e-6)
