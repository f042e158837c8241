"""Lists in turn: their order, what a turn lists at most, and the place of any item."""

import numpy as np
import pytest

from recommender.numerics.turns import Turn, best, in_turn, place_of

SCORES = np.array([9.0, 8.0, 7.0, 1.0, 2.0, 3.0, 6.0])
FIRST = np.array([1, 1, 1, 0, 0, 0, 0], bool)
SECOND = np.array([0, 0, 0, 1, 1, 1, 0], bool)
ALL = np.ones(7, bool)


def test_parts_take_turns_until_they_run_out_and_each_item_comes_once():
    assert in_turn([[4, 2, 1], [7], []], 3) == [(0, 0), (1, 0), (0, 1)]
    assert in_turn([[4, 2], [4, 2, 5]], 9) == [(0, 0), (0, 1), (1, 2)]


def test_the_best_of_each_turn():
    assert best(SCORES, ALL, 3) == (0, 1, 2)
    assert best(SCORES, ALL, 5, (Turn(SECOND), Turn(FIRST))) == (5, 0, 4, 1, 3)
    assert best(SCORES, ALL, 5, (Turn(SECOND, 1), Turn(FIRST, 2))) == (5, 0, 1)


@pytest.mark.parametrize("most", [(0, 0), (1, 0), (2, 1), (0, 2)])
def test_places_are_those_of_the_list_and_behind_it(most):
    turns = (Turn(SECOND, most[0]), Turn(FIRST, most[1]))
    listed = best(SCORES, ALL, 7, turns)
    assert [place_of(item, SCORES, ALL, 7, turns) for item in listed] == list(range(1, len(listed) + 1))
    assert all(place_of(item, SCORES, ALL, 7, turns) > 7 for item in range(6) if item not in listed)


def test_what_has_no_turn_stands_by_its_score_and_what_is_not_allowed_before_what_is_worse():
    turns = (Turn(FIRST), Turn(SECOND))
    assert place_of(6, SCORES, ALL, 0, turns) == place_of(6, SCORES, ALL) == 4
    assert place_of(1, SCORES, ALL & ~np.eye(7, dtype=bool)[1], 0, turns) == 3
