from __future__ import annotations

import numpy as np
import pytest

from recommender.encoders import collaborative
from recommender.encoders.collaborative import collaborative_vectors
from recommender.encoders.reduction import LONGEST

ITEMS = 40


def clusters(seed=0, users=200, length=8):
    """Even users like items 0..19, odd ones 20..38; nobody knows item 39."""
    rng = np.random.default_rng(seed)
    ranges = (np.arange(20), np.arange(20, 39))
    return [rng.choice(ranges[user % 2], length, replace=False) for user in range(users)]


def cosines(vectors):
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return unit @ unit.T


def test_items_of_one_taste_are_closer_than_items_of_two():
    same = cosines(collaborative_vectors(clusters(), ITEMS, 8))
    within = (same[:20, :20].sum() - 20) / (20 * 19)
    assert within > same[:20, 20:39].mean() + 0.2


def test_scale_shape_and_items_without_interactions():
    vectors = collaborative_vectors(clusters(), ITEMS, 8)
    assert vectors.shape == (ITEMS, 8)
    assert vectors.dtype == np.float32
    assert not vectors[39].any()
    assert (vectors[:39] ** 2).sum(1).mean() == pytest.approx(8, rel=1e-4)


def test_same_input_same_output():
    first, second = (collaborative_vectors(clusters(), ITEMS, 8, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_order_matters():
    """The same sets of items: items 0 and 1 have the same companions, but not at the same place."""
    rng = np.random.default_rng(0)
    forward, shuffled = [], []
    for _ in range(300):
        middle = 2 + rng.choice(18, 6, replace=False)
        forward.append(np.concatenate([[0], middle, [1]]))
        shuffled.append(rng.permutation(forward[-1]))
    ordered = cosines(collaborative_vectors(forward, 20, 6))[0, 1]
    unordered = cosines(collaborative_vectors(shuffled, 20, 6))[0, 1]
    assert abs(ordered - unordered) > 0.1


def test_what_follows_closely_is_closer_than_what_follows_late():
    rng = np.random.default_rng(0)
    histories = []
    for _ in range(400):
        chain = np.arange(30) if rng.random() < 0.5 else rng.permutation(30)
        histories.append(chain)
    near = cosines(collaborative_vectors(histories, 30, 8))
    assert np.mean([near[i, i + 1] for i in range(29)]) > np.mean([near[i, i + 15] for i in range(15)]) + 0.2


@pytest.mark.parametrize("histories", [[], [np.array([2])], [np.array([], dtype=np.int64), np.array([1, 1])]])
def test_histories_without_pairs_give_zeros(histories):
    vectors = collaborative_vectors(histories, 4, 3)
    assert vectors.shape == (4, 3)
    assert not vectors.any()


def test_more_width_than_items():
    vectors = collaborative_vectors([np.array([0, 1]), np.array([1, 2])], 3, 16)
    assert vectors.shape == (3, 16)
    assert np.isfinite(vectors).all()
    assert vectors.any()


def test_the_few_that_make_up_most_histories_are_no_giants():
    random, chances = np.random.default_rng(0), np.arange(1, 3001) ** -0.8
    histories = [random.choice(3000, 8, p=chances / chances.sum()) for _ in range(500)]
    norms = np.linalg.norm(collaborative_vectors(histories, 3000, 16), axis=1)
    assert norms.max() == pytest.approx(LONGEST * 4, rel=1e-5)


def test_of_many_items_the_factors_are_those_of_a_whole_decomposition(monkeypatch):
    monkeypatch.setattr(collaborative, "EXACT_ITEMS", 10)
    monkeypatch.setattr(collaborative, "_POWERS", 12)
    histories = clusters()
    counts = collaborative._window_cooccurrence(histories, ITEMS, 5, 2.0)
    np.testing.assert_allclose(
        counts.toarray(), collaborative._ordered_cooccurrence(histories, ITEMS, 5, 2.0).toarray(), rtol=1e-5
    )
    ordered = collaborative._ppmi(counts).toarray()
    left, values, _ = np.linalg.svd(np.hstack([ordered, ordered.T]))
    wanted = (left[:, :8] * values[:8]) @ left[:, :8].T
    vectors = collaborative_vectors(histories, ITEMS, 8)
    found = vectors @ vectors.T
    np.testing.assert_allclose(found / np.linalg.norm(found), wanted / np.linalg.norm(wanted), atol=0.01)
    assert not vectors[39].any() and vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, collaborative_vectors(histories, ITEMS, 8))


def test_of_many_items_without_interactions_there_are_no_vectors(monkeypatch):
    monkeypatch.setattr(collaborative, "EXACT_ITEMS", 10)
    assert not collaborative_vectors([np.array([3]), np.array([], dtype=np.int64)], ITEMS, 8).any()
