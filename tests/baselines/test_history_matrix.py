"""Histories as sparse rows: weights by recency, the largest entries, unit length."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.baselines.history_matrix import history_matrix, largest_entries, sparse_unit_rows

histories = st.lists(st.lists(st.integers(0, 9), max_size=12), max_size=6)


def test_a_repeated_item_weighs_as_at_its_latest_place():
    rows = history_matrix([np.array([5, 2, 5, 7]), np.array([], dtype=np.int64)], 8, decay=2.0).toarray()
    expected = np.zeros((2, 8))
    expected[0, [7, 5, 2]] = np.exp([0, -1 / 2, -2 / 2])
    np.testing.assert_allclose(rows, expected, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(histories)
def test_without_a_decay_a_row_is_the_set_of_seen_items(lists):
    rows = history_matrix([np.array(items, dtype=np.int64) for items in lists], 10)
    assert rows.shape == (len(lists), 10) and rows.dtype == np.float32
    for row, items in zip(rows.toarray(), lists, strict=True):
        assert set(np.flatnonzero(row)) == set(items) and set(row[row > 0]) <= {1.0}


@settings(max_examples=40, deadline=None)
@given(histories, st.floats(0.5, 20))
def test_with_a_decay_weights_fall_by_the_same_factor_from_the_last_item_on(lists, decay):
    rows = history_matrix([np.array(items, dtype=np.int64) for items in lists], 10, decay).toarray()
    for row, items in zip(rows, lists, strict=True):
        expected = dict.fromkeys(range(10), 0.0)
        for age, item in reversed(list(enumerate(reversed(items)))):
            expected[item] = np.exp(-age / decay)
        np.testing.assert_allclose(row, list(expected.values()), rtol=1e-5)


def test_no_history_at_all_is_an_empty_matrix():
    assert history_matrix([], 7).shape == (0, 7)


def test_the_largest_entries_of_each_row_are_kept():
    dense = np.array([[0, 3, 1, 2], [5, 0, 0, 0], [0, 0, 0, 0], [4, 4, 4, 9]], dtype=np.float32)
    largest = largest_entries(sp.csr_array(dense), 2).toarray()
    np.testing.assert_array_equal(largest, [[0, 3, 0, 2], [5, 0, 0, 0], [0, 0, 0, 0], [4, 0, 0, 9]])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8))
def test_the_largest_entries_are_those_of_a_sort(seed, k):
    dense = np.random.default_rng(seed).integers(0, 4, (6, 7)).astype(np.float32)
    largest = largest_entries(sp.csr_array(dense), k).toarray()
    for row, kept in zip(dense, largest, strict=True):
        expected = np.zeros_like(row)
        order = [column for column in np.argsort(-row, kind="stable") if row[column] > 0][:k]
        expected[order] = row[order]
        np.testing.assert_array_equal(kept, expected)


def test_unit_rows_have_length_one_and_rows_of_zeros_stay_zero():
    rows = sparse_unit_rows(sp.csr_array(np.array([[3, 4, 0], [0, 0, 0], [0, 0, 2]], dtype=np.float32))).toarray()
    np.testing.assert_allclose(rows, [[0.6, 0.8, 0], [0, 0, 0], [0, 0, 1]], rtol=1e-6)
