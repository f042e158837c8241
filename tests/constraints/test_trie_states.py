"""The append-only table of states."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from recommender.constraints import trie_states
from recommender.constraints.trie_states import Siblings, StateTable


@pytest.fixture
def table(monkeypatch):
    monkeypatch.setattr(trie_states, "LEAST_SPARE", 4)
    table = StateTable((0, 1, 3), torch.int16)
    table.append(torch.tensor([-1, 5, 6]), torch.tensor([1, 1, 0]), torch.tensor([2, 0, 0]))
    return table


def test_states_are_numbered_in_the_order_of_writing(table):
    assert (table.end, table.room, table.nbytes) == (3, 4, 3 * (2 + 4 + 2))
    siblings = Siblings(np.array([1, 2]), np.array([3, 4]), np.array([0, 0]))
    assert table.append_siblings(siblings) == 3
    read = table.siblings(3, 2)
    assert [part.tolist() for part in (read.code, read.link, read.count)] == [[1, 2], [3, 4], [0, 0]]
    assert (table.end, table.room) == (5, 2)
    assert table.siblings(0, 0).code.dtype == np.int16


def test_what_is_read_is_a_copy(table):
    table.siblings(1, 2).code[:] = 9
    assert table.code[1:3].tolist() == [5, 6]


def test_a_copy_has_the_same_states_and_the_room_that_is_asked_for(table):
    copied = table.to("cpu", edits=50)
    assert copied.code[:3].tolist() == [-1, 5, 6] and copied.room >= 50
    copied.append(torch.tensor([7]), torch.tensor([7]), torch.tensor([0]))
    assert table.end == 3


def test_two_threads_never_write_to_the_same_states():
    table = StateTable((0, 1, 2), torch.int32)
    firsts = []

    def write(value):
        for _ in range(200):
            part = torch.full((3,), value)
            firsts.append((table.append(part, part, part), value))

    threads = [threading.Thread(target=write, args=(value,)) for value in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(first for first, _ in firsts) == list(range(0, 1200, 3))
    assert all(table.code[first : first + 3].tolist() == [value] * 3 for first, value in firsts)
