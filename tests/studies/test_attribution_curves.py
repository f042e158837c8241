"""Curves of deletion and insertion: by hand, in a world whose scores add up."""

import numpy as np
import pytest

from recommender.studies.attribution_curves import (
    ATTRIBUTION,
    CENTRE,
    MEASURES,
    RANDOM,
    RANDOM_ORDERS,
    SHARES,
    compared,
    curves,
    mean_interval,
    measures,
    orders_of,
)

WORTHS = np.array([1.0, 0.0, 4.0, 2.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0])


def additive(sets):
    return sets @ WORTHS


def test_curves_of_the_best_order_fall_and_rise_first():
    order = np.argsort(-WORTHS, kind="stable")
    found = curves({"best": [order], "worst": [order[::-1]]}, 10, additive)
    counts = [0, 1, 2, 4, 5, 8, 10]
    np.testing.assert_allclose(found["best"][1], [WORTHS[order[:n]].sum() for n in counts])
    np.testing.assert_allclose(found["best"][0], [WORTHS[order[n:]].sum() for n in counts])
    best, worst = (dict(zip(MEASURES, measures(found[name]), strict=True)) for name in ("best", "worst"))
    assert best["comprehensiveness@10%"] == 4.0 and best["comprehensiveness@20%"] == 7.0
    assert best["sufficiency@10%"] == -6.0 and best["sufficiency@50%"] == 0.0
    heights, widths = found["best"][1], np.diff(SHARES)
    area = ((heights[1:] + heights[:-1]) / 2 * widths).sum()
    assert best["insertion"] == pytest.approx(area)
    assert all(best[name] >= worst[name] for name in MEASURES) and best["deletion"] > worst["deletion"]


def test_each_set_is_scored_once_and_random_orders_are_averaged():
    asked = []

    def scores(sets):
        asked.extend(map(tuple, sets.tolist()))
        return additive(sets)

    orders = orders_of(WORTHS, np.abs(np.arange(10) - 4.5), [0, 1])
    assert len(orders[RANDOM]) == RANDOM_ORDERS and set(orders[CENTRE][0][:2].tolist()) == {4, 5}
    assert orders[ATTRIBUTION][0][:4].tolist() == [2, 5, 3, 0]
    found = curves(orders, 10, scores)
    assert len(asked) == len(set(asked))
    one_by_one = [curves({"one": [order]}, 10, additive)["one"] for order in orders[RANDOM]]
    np.testing.assert_allclose(found[RANDOM], np.mean(one_by_one, 0))


def test_differences_are_paired():
    random = np.random.default_rng(0)
    level = 10 * random.standard_normal((30, 1, 1))  # cases differ far more than orders do
    cases = level + np.array([0.3, 0.0, 0.1])[None, :, None] + np.zeros((30, 3, len(MEASURES)))
    told = compared(cases, 0)["deletion"]
    assert told["better than random"] == {"mean": 0.3, "low": 0.3, "high": 0.3}
    assert told["better than centre"]["mean"] == pytest.approx(0.2)
    assert told[ATTRIBUTION]["high"] - told[ATTRIBUTION]["low"] > 1
    assert mean_interval([1.0, 1.0], 0) == {"mean": 1.0, "low": 1.0, "high": 1.0}
