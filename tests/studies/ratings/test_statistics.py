"""Features from known ratings: biases, profiles, and a factorisation, each checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.studies.ratings.statistics import Biases, KnownRatings, describe


def known_of(users, items, values, user_count=3, item_count=3) -> KnownRatings:
    values = np.array(values, dtype=np.float64)
    return KnownRatings(np.array(users), np.array(items), values, values >= 4, user_count, item_count)


@pytest.fixture
def known() -> KnownRatings:
    return known_of([0, 0, 1], [0, 1, 1], [5, 3, 1])


def test_biases_are_means_that_are_shrunk(known):
    biases = Biases.fit(known, shrink=1e-12)
    assert biases.mean == 3 and np.allclose(biases.items, [2, -1, 0])
    assert np.allclose(biases.users, [0.5, -1, 0])
    shrunk = Biases.fit(known, shrink=1)
    assert shrunk.items[0] == 1
    assert shrunk.predict(np.array([2]), np.array([2])).tolist() == [3]


def test_some_rows_may_be_taken(known):
    part = known.take(np.array([2, 0]))
    assert part.users.tolist() == [1, 0] and part.values.tolist() == [1, 5] and part.liked.tolist() == [False, True]
    assert (part.user_count, part.item_count) == (3, 3)


def test_a_block_of_a_modality_holds_vector_match_and_score(known):
    vectors = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], dtype=np.float32)
    blocks = describe(known, np.array([0, 2]), np.array([2, 1]), {"text": vectors})
    assert list(blocks) == ["statistics", "text"] and blocks["text"].shape == (2, 5)
    np.testing.assert_array_equal(blocks["text"][:, :2], vectors[[2, 1]])
    np.testing.assert_allclose(blocks["text"][:, 4], blocks["text"][:, 2:4].sum(axis=1), rtol=1e-6)
    residuals = known.values - Biases.fit(known).predict(known.users, known.items)
    profile = (residuals[0] * vectors[0] + residuals[1] * vectors[1]) / (2 + 3.0)
    np.testing.assert_allclose(blocks["text"][0, 2:4], vectors[2] * profile, rtol=1e-5)
    assert not blocks["text"][1, 2:].any()  # user 2 has rated nothing


def test_statistics_tell_counts_and_what_is_expected(known):
    users, items = np.array([0, 1, 2]), np.array([0, 1, 2])
    block = describe(known, users, items, {})["statistics"]
    assert block.shape == (3, 9) and block.dtype == np.float32
    np.testing.assert_allclose(block[:, 0], Biases.fit(known).predict(users, items), rtol=1e-6)
    np.testing.assert_allclose(block[:, 4], np.log1p([2, 1, 0]), rtol=1e-6)  # ratings of the user
    np.testing.assert_allclose(block[:, 8], np.log1p([1, 2, 0]), rtol=1e-6)  # ratings of the item


def test_the_factorisation_finds_two_camps_in_ratings_it_does_not_know():
    """Half of the users like half of the items and dislike the rest, the others the other way round."""
    users, items = (grid.ravel() for grid in np.meshgrid(np.arange(60), np.arange(40), indexing="ij"))
    liked = (users < 30) == (items < 20)
    is_known = np.random.default_rng(0).random(len(users)) < 0.5
    known = known_of(users[is_known], items[is_known], np.where(liked, 5, 1)[is_known], 60, 40)
    vectors = {"collaborative": np.ones((40, 1), np.float32)}
    scores = describe(known, users[~is_known], items[~is_known], vectors)["collaborative"][:, -1]
    assert ((scores > 0) == liked[~is_known]).mean() > 0.8


def test_ratings_that_are_all_alike_have_nothing_to_factorise():
    known = known_of([0, 1, 2], [0, 1, 2], [3, 3, 3])
    block = describe(known, np.array([0]), np.array([1]), {"collaborative": np.ones((3, 2), np.float32)})
    assert np.isfinite(block["collaborative"]).all() and block["collaborative"][0, -1] == 0
