"""Shapley values: what their axioms say, what a judge of another make finds, and how sure a sample is."""

from itertools import permutations

import numpy as np
import pytest
import torch

from recommender.numerics.shapley import all_sets, exact_shapley, rank_correlation, reliability, sampled_shapley


def random_game(players, seed=0):
    """A game whose sets have values of their own."""
    values = np.random.default_rng(seed).standard_normal(2**players)
    return lambda sets: values[sets @ (1 << np.arange(players))][:, None]


def test_exact_values_are_the_mean_over_all_orders():
    game = random_game(5)
    expected = np.zeros(5)
    for order in permutations(range(5)):
        for place, player in enumerate(order):
            members = np.isin(np.arange(5), order[: place + 1])
            others = members & (np.arange(5) != player)
            expected[player] += (game(np.stack([members, others])) @ [1.0]) @ [1, -1] / 120
    np.testing.assert_allclose(exact_shapley(5, game)[:, 0], expected)


def test_a_sample_adds_up_in_each_order_and_nears_the_exact_values():
    game = random_game(6)
    whole = float((game(np.ones((1, 6), bool)) - game(np.zeros((1, 6), bool)))[0, 0])
    added = sampled_shapley(6, game, 400, seed=1)
    np.testing.assert_allclose(added[..., 0].sum(1), whole)
    np.testing.assert_allclose(added.mean(0)[:, 0], exact_shapley(6, game)[:, 0], atol=0.15)
    np.testing.assert_array_equal(added, sampled_shapley(6, game, 400, seed=1))


def test_each_set_is_asked_for_once():
    asked = []

    def worth(sets):
        asked.extend(map(tuple, sets.tolist()))
        return sets.sum(1, keepdims=True)

    sampled_shapley(4, worth, 20)
    assert len(asked) == len(set(asked)) <= 16
    assert len(all_sets(4)) == 16 == len({tuple(row) for row in all_sets(4).tolist()})


def test_captum_finds_the_same():
    attr = pytest.importorskip("captum.attr")
    game = random_game(6, seed=2)

    def scored(inputs):
        return torch.from_numpy(game(inputs.numpy() > 0.5)[:, 0])

    everything, nothing = torch.ones(1, 6), torch.zeros(1, 6)
    exact = attr.ShapleyValues(scored).attribute(everything, nothing)[0].numpy()
    np.testing.assert_allclose(exact_shapley(6, game)[:, 0], exact, atol=1e-5)
    torch.manual_seed(0)
    sampled = attr.ShapleyValueSampling(scored).attribute(everything, nothing, n_samples=400)[0].numpy()
    np.testing.assert_allclose(sampled_shapley(6, game, 400).mean(0)[:, 0], sampled, atol=0.25)
    left_out = attr.FeatureAblation(scored).attribute(everything, nothing)[0].numpy()
    whole = np.ones((7, 6), bool)
    whole[np.arange(1, 7), np.arange(6)] = False
    np.testing.assert_allclose((game(whole)[0] - game(whole)[1:])[:, 0], left_out, atol=1e-5)


def test_reliability_is_one_without_chance_and_none_without_order():
    worths = np.arange(5.0)
    assert reliability(np.tile(worths, (6, 1))) == pytest.approx(1.0)
    assert reliability(np.random.default_rng(0).standard_normal((6, 40))) < 0.5
    assert reliability(np.tile(worths, (2, 1))) == 0.0  # one order and its reverse: nothing to compare with
    assert rank_correlation(worths, -worths) == pytest.approx(-1.0) and rank_correlation(worths, np.zeros(5)) == 0.0
