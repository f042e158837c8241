"""Population stability, checked against what a hand computes."""

from __future__ import annotations

from collections import Counter
from math import log

import pytest

from recommender.numerics.drift import FLOOR, ItemBins, item_stability, stability, value_stability


@pytest.mark.parametrize(
    ("expected", "actual", "by_hand"),
    [
        ([50, 50], [500, 500], 0.0),
        ([50, 50], [75, 25], 0.25 * log(1.5) - 0.25 * log(0.5)),  # 0.2747
        ([1, 2, 1], [2, 1, 1], 0.25 * log(2) - 0.25 * log(0.5)),  # 0.3466
        ([10, 0], [5, 5], -0.5 * log(0.5) + (0.5 - FLOOR) * log(0.5 / FLOOR)),
    ],
)
def test_stability(expected, actual, by_hand):
    assert stability(expected, actual) == pytest.approx(by_hand)


def test_of_nothing_nothing_is_known():
    assert stability([0, 0], [1, 2]) is None and stability([1], [0]) is None
    assert item_stability({}, {"a": 1}) is None and value_stability([], [1.0]) is None


def test_items_that_are_as_frequent_as_before_have_not_moved():
    expected = Counter({str(item): 100 - item for item in range(100)})
    assert item_stability(expected, {item: 3 * count for item, count in expected.items()}) == pytest.approx(0)


def test_two_items_that_change_places_and_one_that_is_new():
    # two bins of half of what is expected each, and one of what was not
    before = {"a": 6, "b": 3, "c": 3}
    assert item_stability(before, {"a": 3, "b": 6, "c": 3}, 2) == pytest.approx(
        0.25 * log(0.75 / 0.5) - 0.25 * log(0.5)
    )
    new = item_stability(before, {"a": 2, "b": 1, "c": 1, "d": 4}, 2)
    assert new == pytest.approx(2 * -0.25 * log(0.5) + (0.5 - FLOOR) * log(0.5 / FLOOR))


def test_numbers_are_binned_by_quantiles_of_what_is_expected():
    assert value_stability(range(100), range(100)) == pytest.approx(0)
    # two bins around the median: from half and half to a quarter and three quarters
    assert value_stability([1, 2, 3, 4], [1, 3, 4, 9], 2) == pytest.approx(0.25 * log(1.5) - 0.25 * log(0.5))
    assert value_stability([5.0] * 10, [5.0] * 3) == pytest.approx(0)


def test_bins_that_are_kept_tell_the_same_as_the_counts():
    before = Counter({str(item): 100 // (item + 1) for item in range(40)})
    now = Counter({str(item): item for item in range(30, 50)})
    kept = ItemBins.of(before)
    assert kept.stability(now) == item_stability(before, now) > 1
    assert kept.stability({}) is None and ItemBins.of({}).stability(now) is None
    assert kept.shares.sum() == pytest.approx(1) and kept.shares[-1] == 0
