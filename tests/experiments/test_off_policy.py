"""Estimates for what never served: unbiased where all lists are counted out, and their intervals hold the truth."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.experiments import off_policy, slates
from recommender.experiments.intervals import mean_interval
from recommender.studies.experiment_worlds import KINDS, list_world, served_log


def counted(world, weights_of):
    """Return the mean of an estimator's contributions over all lists, each as often as it is served."""
    served = world.served.prod(2)
    return float((served * weights_of).sum(1).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_over_all_lists_each_is_right_where_its_assumption_holds(kind):
    world = list_world(np.random.default_rng(3), kind)
    ratio = world.other / world.served
    there = list(world.at_rank)
    contributions = {
        "sips": ratio.prod(2) * world.taken.sum(2),
        "rips": (ratio.cumprod(2) * world.taken).sum(2),
        "iips": (there[1] / there[0] * world.taken).sum(2),
    }
    right = {"independent": ("sips", "rips", "iips"), "cascade": ("sips", "rips"), "whole list": ("sips",)}[kind]
    for name, values in contributions.items():
        off = abs(counted(world, values) - world.truth)
        assert (off < 1e-12) == (name in right), (name, off)


@pytest.mark.parametrize("kind", ["independent", "cascade"])
def test_any_model_of_rewards_leaves_cascade_dr_right(kind):
    world = list_world(np.random.default_rng(4), kind)
    random = np.random.default_rng(0)
    situations, lists, ranks = world.served.shape
    values, items = random.random((situations, 5, ranks)), world.slates
    predicted = np.stack([values[:, items[:, rank], rank] for rank in range(ranks)], 2)
    expected = np.zeros(predicted.shape)
    for rank in range(ranks):
        above = [tuple(slate[:rank]) for slate in items]
        for prefix in set(above):
            here = [n for n in range(lists) if above[n] == prefix]
            first = {items[n][rank]: n for n in here}
            mean = sum(world.other[:, n, rank] * predicted[:, n, rank] for n in first.values())
            expected[:, here, rank] = mean[:, None]
    flat = [table.reshape(situations * lists, ranks) for table in (world.served, world.other, world.taken)]
    served = world.served.prod(2).reshape(-1) / situations
    one_by_one = [
        slates.cascade_dr(*(t[n : n + 1] for t in flat), predicted.reshape(-1, ranks)[n : n + 1], e[None]).value
        for n, e in enumerate(expected.reshape(-1, ranks))
    ]
    assert float(served @ np.array(one_by_one)) == pytest.approx(world.truth)


def test_intervals_hold_the_truth_in_most_worlds():
    random, worlds, within = np.random.default_rng(5), 150, {}
    for _ in range(worlds):
        world = list_world(random, "independent")
        log = served_log(random, world, 600)
        served, other = log.of(world.served), log.of(world.other)
        there = [log.of(table) for table in world.at_rank]
        model = slates.rank_model(log.rewards, log.people)
        found = {
            "sips": slates.sips(served, other, log.rewards, log.people),
            "snips": slates.snips(served, other, log.rewards, log.people),
            "rips": slates.rips(served, other, log.rewards, log.people),
            "iips": slates.iips(*there, log.rewards, log.people),
            "dr": slates.cascade_dr(served, other, log.rewards, model, model, log.people),
        }
        for name, one in found.items():
            assert 0 < one.effective <= one.lists and one.covered == pytest.approx(1, abs=0.5)
            within[name] = within.get(name, 0) + (one.low <= world.truth <= one.high)
    assert min(within.values()) >= 0.89 * worlds, within
    widths = {name: one.high - one.low for name, one in found.items()}
    assert widths["dr"] < widths["rips"] < widths["sips"] and widths["iips"] < widths["rips"]


def test_what_one_item_takes_is_a_list_of_one():
    random = np.random.default_rng(0)
    weights, rewards, people = random.lognormal(0, 0.5, 200), random.random(200), np.arange(200) // 2
    one, ones = weights[:, None], np.ones((200, 1))
    for single, listed in ((off_policy.ips, slates.sips), (off_policy.snips, slates.snips)):
        assert single(weights, rewards, people) == listed(ones, one, rewards[:, None], people)
    model, mean = random.random(200), random.random(200)
    dr = off_policy.doubly_robust(weights, rewards, model, mean)
    assert dr.value == pytest.approx(np.mean(mean + weights * (rewards - model)))
    assert off_policy.snips(weights, np.full(200, 3.0)).value == pytest.approx(3)
    assert off_policy.ips(np.zeros(5), np.ones(5)).effective == 0
    assert off_policy.effective_size(np.ones(7)) == 7 and off_policy.effective_size(np.array([1, 0, 0])) == 1


def test_what_was_shown_cannot_have_had_no_chance():
    with pytest.raises(ValueError, match="probability"):
        slates.sips(np.array([[0.0]]), np.array([[1.0]]), np.array([[1.0]]))


@pytest.mark.parametrize("skewed", [True, False])
def test_means_of_skewed_values_and_of_groups(skewed):
    random, hits, plain = np.random.default_rng(7), 0, 0
    for _ in range(800):
        own = random.lognormal(0, 1.0, 80) if skewed else random.normal(0, 1, 80)
        values = np.repeat(own, 3)
        _, low, high = mean_interval(values, np.repeat(np.arange(80), 3))
        truth = np.exp(0.5) if skewed else 0.0
        hits += low <= truth <= high
        plain += (lambda m, lo, hi: lo <= truth <= hi)(*mean_interval(values))
    assert hits / 800 > (0.915 if skewed else 0.93) and plain / 800 < 0.8, "values of one group are not independent"


def test_few_values_and_constant_ones():
    assert mean_interval(np.array([])) == (0.0, -np.inf, np.inf)
    assert mean_interval(np.array([2.0])) == (2.0, -np.inf, np.inf)
    assert mean_interval(np.ones(5), np.zeros(5)) == (1.0, -np.inf, np.inf)
    assert mean_interval(np.ones(5)) == (1.0, 1.0, 1.0)
