"""Counterfactuals: the smallest change is found, and it lists the item as promised."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.justify.counterfactual import Change, shift, shortfall
from recommender.numerics.turns import best

ITEMS = 8


def scorer(table, calls=None):
    """An item's score is the sum of what each history item adds to it."""

    def scores(histories):
        if calls is not None:
            calls.append(len(histories))
        return np.array(
            [[sum(table.get((h, c), 0.0) for h in set(map(int, hist))) for c in range(ITEMS)] for hist in histories]
        )

    return scores


def allowed(*hidden):
    return ~np.isin(np.arange(ITEMS), hidden)


def test_a_change_is_made_to_a_history():
    changed = Change(removed=(1,), added=(7,)).of(np.array([1, 2, 1, 3]))
    assert changed.tolist() == [2, 3, 7]
    assert len(Change((1,), (7,))) == 2


def test_listed_is_what_is_allowed_best_first():
    assert best(np.array([3.0, 1.0, 2.0]), np.array([False, True, True]), 5) == (2, 1)


def test_what_would_be_listed_had_it_not_been_seen_is_never_that_itself():
    scores = scorer({(0, 3): 5.0, (1, 4): 3.0, (1, 0): 9.0, (1, 3): 1.0, (1, 5): 2.0})
    result = shift(np.array([0, 1]), [0], 2, scores, allowed(0, 1))
    assert result.before == (3, 4) and result.after == (4, 5)
    assert result.left == (3,) and result.entered == (5,) and result.moved == ((4, 0.0),)


def test_no_change_names_another_edition_of_the_item():
    scores = scorer({(0, 3): 5.0, (6, 4): 9.0, (7, 4): 8.0})
    ask = {"history": np.array([0, 1]), "item": 4, "k": 1, "scores": scores, "allowed": allowed(0, 1), "window": 5}
    assert Change(added=(6,)) in shortfall(**ask, added=[6, 7]).changes
    assert Change(added=(7,)) in shortfall(**ask, added=[6, 7], unhelpful={6}).changes
    assert not any(0 in change.removed for change in shortfall(**ask, unhelpful={0}).changes)


def test_a_listed_item_needs_no_change():
    calls = []
    result = shortfall(np.array([0]), 3, 1, scorer({(0, 3): 5.0}, calls), allowed(0), 5)
    assert (result.rank, result.score, result.last, result.changes) == (1, 5.0, 5.0, ())
    assert calls == [1]


def test_the_smallest_change_is_one_if_one_does():
    scores = scorer({(0, 3): 5.0, (1, 4): 3.0, (2, 4): 1.5, (6, 4): 9.0})
    result = shortfall(np.array([2, 0, 1]), 4, 1, scores, allowed(0, 1, 2), 5, added=[5, 6])
    assert result.rank == 2 and result.last == 5.0 and result.score == 4.5
    assert set(result.changes) == {Change(removed=(0,)), Change(added=(6,))}


@pytest.mark.parametrize("seed", range(8))
def test_every_change_brings_the_item_in_and_none_smaller_does(seed):
    random = np.random.default_rng(seed)
    scores = scorer({(h, c): float(random.normal()) for h in range(ITEMS) for c in range(ITEMS)})
    history, may = np.array([0, 1, 2]), allowed(0, 1, 2)
    for item in (3, 4, 5, 6, 7):
        result = shortfall(history, item, 1, scores, may, 5, added=[3, 4, 5, 6, 7])
        singles = [Change(removed=(i,)) for i in history] + [Change(added=(i,)) for i in range(3, 8) if i != item]
        sufficient = [c for c in singles if _listed_after(scores, history, may, c, item)]
        if result.rank == 1:
            assert result.changes == ()
            continue
        assert bool(sufficient) == bool(result.changes and len(result.changes[0]) == 1)
        assert all(_listed_after(scores, history, may, change, item) for change in result.changes)


def _listed_after(scores, history, may, change, item):
    may = may.copy()
    may[list(change.added)] = False
    return item in best(scores([change.of(history)])[0], may, 1)


def test_where_nothing_helps_nothing_is_said_to():
    result = shortfall(np.array([0, 1]), 4, 1, scorer({(0, 3): 5.0, (1, 3): 5.0, (5, 3): 1.0}), allowed(0, 1), 5, [5])
    assert result.changes == () or result.rank > 1
    never = shortfall(np.array([], dtype=np.int64), 4, 1, lambda h: np.tile(np.arange(8.0), (len(h), 1)), allowed(), 5)
    assert never.rank == 4 and never.changes == ()
