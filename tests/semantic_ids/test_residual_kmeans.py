"""Residual k-means against its definition, and numbers for items of the same codes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.errors import DataError
from recommender.semantic_ids import residual_kmeans
from recommender.semantic_ids.residual_kmeans import assign_codes, collision_digits, finite_vectors, fit_levels
from tests.semantic_ids.vectors import random_vectors


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 30), st.integers(1, 3), st.integers(1, 6), st.integers(0, 4))
def test_each_code_is_the_nearest_centroid_of_what_the_levels_before_leave(items, levels, size, seed):
    vectors = random_vectors(items, seed=seed)
    centroids, codes = fit_levels(vectors, levels, size, seed)
    assert codes.shape == (items, levels) and len(centroids) == levels
    for vector, row in zip(vectors, codes, strict=True):
        residual = vector
        for level, code in zip(centroids, row, strict=True):
            distances = np.linalg.norm(residual - level, axis=1)
            assert distances[code] <= distances.min() + 1e-5
            residual = residual - level[code]
    np.testing.assert_array_equal(assign_codes(vectors, centroids), codes)


def test_more_levels_leave_smaller_residuals():
    vectors = random_vectors(200)
    centroids, codes = fit_levels(vectors, 3, 8, seed=0)
    lengths, residual = [], vectors
    for level, column in zip(centroids, codes.T, strict=True):
        residual = residual - level[column]
        lengths.append(float(np.square(residual).sum()))
    assert lengths[0] > lengths[1] > lengths[2]


def test_there_are_no_more_centroids_than_distinct_vectors():
    centroids, codes = fit_levels(np.repeat(np.eye(2, 3, dtype=np.float32), 5, axis=0), 1, 8, seed=0)
    assert len(centroids[0]) == 2 and len(set(codes[:, 0].tolist())) == 2


def test_many_items_are_clustered_in_mini_batches(monkeypatch):
    monkeypatch.setattr(residual_kmeans, "_EXACT_KMEANS_ITEMS", 10)
    centres = np.repeat(np.eye(3, 6, dtype=np.float32) * 10, 20, axis=0)
    _, codes = fit_levels(centres + 0.1 * random_vectors(60), 1, 3, seed=0)
    groups = codes[:, 0].reshape(3, 20)
    assert (groups == groups[:, :1]).all() and len(set(groups[:, 0])) == 3


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=20))
def test_digits_make_rows_unique_and_count_on_from_what_is_in_use(rows):
    codes = np.array(rows)
    next_free = {(0, 0): 5}
    digits = collision_digits(codes, next_free)
    assert len({(*row, digit) for row, digit in zip(rows, digits.tolist(), strict=True)}) == len(rows)
    for prefix in set(rows):
        numbers = [digit for row, digit in zip(rows, digits.tolist(), strict=True) if row == prefix]
        first = 5 if prefix == (0, 0) else 0
        assert numbers == list(range(first, first + len(numbers)))
        assert next_free[prefix] == first + len(numbers)


def test_a_vector_that_is_not_finite_is_named():
    assert finite_vectors(np.ones((2, 3), np.float64)).dtype == np.float32
    broken = np.ones((4, 2))
    broken[2, 1] = np.inf
    with pytest.raises(DataError, match="item 2: its vector holds a value that is not finite"):
        finite_vectors(broken)
