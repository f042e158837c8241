"""Items that stand close together in a history are found in any order; how often that is accident is known."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.studies.learned_together import Together

HISTORIES = [[1, 2, 3, 4, 5, 6, 7, 8], [8, 1, 9]]


@pytest.mark.parametrize(
    ("items", "found"),
    [((1, 2, 3), True), ((3, 1, 2), True), ((1, 3, 5), True), ((1, 2, 6), False), ((1, 10), False), ((9, 8, 1), True)],
)
def test_any_order_with_a_few_others_between(items, found):
    assert Together(HISTORIES)(items) is found


def test_a_history_may_be_left_out():
    assert not Together(HISTORIES)((1, 2, 3), but=0)


def test_chance_is_one_where_all_take_the_same_and_small_where_nobody_does():
    assert Together([[1, 2, 3, 4]] * 10).chance(2) == 1
    random = np.random.default_rng(0)
    assert Together([random.permutation(1000)[:9].tolist() for _ in range(99)]).chance(2) == 0.01
    assert Together([]).chance(2) == 1
