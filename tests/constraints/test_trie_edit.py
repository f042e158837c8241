"""Path copying: an edit writes new states and leaves those before it as they were."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.constraints.trie_build import build_states
from recommender.constraints.trie_edit import Children, delete_items, insert_items

CODES = np.array([[0, 0], [0, 2], [1, 1]])


@pytest.fixture
def table():
    return build_states(CODES, (3, 3))


def root(table):
    return Children(int(table.link[0]), int(table.count[0]))


def rows(table, children, levels, prefix=()):
    """The codes and the item of every leaf below some children."""
    siblings = table.siblings(children.first, children.count)
    for code, link, count in zip(siblings.code.tolist(), siblings.link.tolist(), siblings.count.tolist(), strict=True):
        if levels == 1:
            yield (*prefix, code), link
        else:
            yield from rows(table, Children(link, count), levels - 1, (*prefix, code))


def test_items_are_inserted_in_order_and_the_old_states_stay(table):
    end = table.end
    before = [column[:end].clone() for column in (table.code, table.link, table.count)]
    grown, fan_outs = insert_items(table, root(table), np.array([[0, 1], [2, 0]]), np.array([8, 9]))
    assert list(rows(table, grown, 2)) == [((0, 0), 0), ((0, 1), 8), ((0, 2), 1), ((1, 1), 2), ((2, 0), 9)]
    assert fan_outs == [3, 3]
    assert list(rows(table, root(table), 2)) == [((0, 0), 0), ((0, 2), 1), ((1, 1), 2)]
    for column, old in zip((table.code, table.link, table.count), before, strict=True):
        assert column[:end].tolist() == old.tolist()


def test_an_insertion_shares_what_is_not_on_its_path(table):
    grown, _ = insert_items(table, root(table), np.array([[2, 0]]), np.array([9]))
    old, new = (table.siblings(children.first, children.count) for children in (root(table), grown))
    assert new.link[:2].tolist() == old.link.tolist()


def test_codes_that_are_there_are_refused(table):
    with pytest.raises(ValueError, match="item 9 has the codes of another item"):
        insert_items(table, root(table), np.array([[1, 1]]), np.array([9]))


def test_states_without_items_go_with_them(table):
    left = delete_items(table, root(table), np.array([[0, 0], [1, 1]]))
    assert list(rows(table, left, 2)) == [((0, 2), 1)] and left.count == 1
    assert delete_items(table, root(table), CODES) == Children(0, 0)
