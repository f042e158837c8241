"""Dense and sparse masks say the same of every state."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.constraints.masks import DenseMask, SparseMask, pad_lists

STATES = 12


@settings(deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=STATES, max_size=STATES), min_size=1, max_size=3), st.booleans())
def test_a_list_of_states_says_what_a_table_says(rows, dead):
    table = torch.tensor(rows)
    listed = pad_lists([(row != dead).nonzero()[:, 0] for row in table], STATES)
    states = torch.arange(STATES).expand(len(rows), 2, -1)
    expected = DenseMask(table).alive(states)
    assert expected.shape == states.shape and expected[:, 0].tolist() == rows
    assert SparseMask(listed, dead).alive(states).tolist() == expected.tolist()
    for mask in (DenseMask(table), SparseMask(listed, dead)):  # neighbours
        assert [mask.alive_from(3, end).tolist() for end in (3, 7)] == [[[]] * len(rows), [row[3:7] for row in rows]]


def test_lists_are_filled_up_to_the_longest_and_never_empty():
    assert pad_lists([torch.tensor([1, 2]), torch.tensor([5])], 9).tolist() == [[1, 2], [5, 9]]
    assert pad_lists([torch.tensor([], dtype=torch.int64)] * 2, 9).tolist() == [[9], [9]]
