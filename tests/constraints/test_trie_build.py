"""The table that is built, state by state."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.constraints.trie_build import build_states, check_codes, child_states, rebuild_states


def table_of(codes, sizes, items=None):
    table = build_states(np.array(codes), sizes, items)
    return table, [column[: table.end].tolist() for column in (table.code, table.link, table.count)]


def test_states_are_numbered_level_by_level_in_the_order_of_their_prefixes():
    # prefixes: (), (0) (2), (0,1) (2,0) (2,2); rows 1, 2, 0 in that order
    table, (code, link, count) = table_of([[2, 2], [0, 1], [2, 0]], (3, 3))
    assert table.starts == (0, 1, 3, 6)
    assert code == [-1, 0, 2, 1, 0, 2]
    assert link == [1, 3, 4, 1, 2, 0]
    assert count == [2, 1, 2, 0, 0, 0]
    assert table.leaf_ranks.tolist() == [2, 0, 1]


def test_rows_may_stand_for_any_items():
    table, (_, link, _) = table_of([[1], [0]], (2,), np.array([7, 3]))
    assert link[1:] == [3, 7]
    assert table.leaf_ranks.tolist() == [-1, -1, -1, 0, -1, -1, -1, 1]


@pytest.mark.parametrize(("size", "dtype"), [(32_767, torch.int16), (32_768, torch.int32)])
def test_codes_take_two_bytes_where_they_fit(size, dtype):
    assert build_states(np.array([[size - 1]]), (size,)).code.dtype == dtype


@settings(deadline=None)
@given(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=30))
def test_codes_too_many_for_one_number_are_sorted_to_the_same_states(rows):
    codes = np.array(sorted(rows, key=hash))
    _, small = table_of(codes, (4, 3, 5))
    _, large = table_of(codes, (2**22, 2**22, 2**22))
    assert small == large


@settings(deadline=None)
@given(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=16))
def test_children_lie_one_states_behind_the_others(rows):
    codes = np.array(sorted(rows))
    table = build_states(codes, (4, 4))
    first_level = child_states(table, torch.tensor([0]))
    assert table.code[first_level].tolist() == sorted({row[0] for row in rows})
    assert table.link[child_states(table, first_level)].tolist() == list(range(len(rows)))


def test_what_is_rebuilt_below_the_root_is_what_was_built():
    table, columns = table_of([[2, 2], [0, 1], [2, 0]], (3, 3))
    again = rebuild_states(table, 0, 2)
    assert [column[: again.end].tolist() for column in (again.code, again.link, again.count)] == columns
    assert again.starts == table.starts


@pytest.mark.parametrize(
    ("codes", "message"),
    [([[0, 1]], "shape"), ([0], "shape"), (np.zeros((0, 1), int), "shape"), ([[3]], "0 .. size - 1"), ([[-1]], "0 ..")],
)
def test_codes_out_of_their_range_are_refused(codes, message):
    with pytest.raises(ValueError, match=message):
        check_codes(np.array(codes), (3,))


def test_items_of_the_same_codes_are_counted():
    with pytest.raises(ValueError, match="2 items share all their codes"):
        build_states(np.array([[0, 1], [0, 1], [0, 1], [1, 1]]), (2, 2))
