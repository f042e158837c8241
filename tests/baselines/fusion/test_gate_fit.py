"""Fitting a gate: the optimum of a conditional logit, slopes where the world has some, none where it has none."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.baselines import FitData
from recommender.baselines.fusion.gate_fit import (
    RIDGES,
    GatedProblem,
    choose_ridge,
    fit_gate,
    minimise,
    unseen_items,
)
from recommender.baselines.fusion.weights import fit_fusion
from tests.baselines.fusion.scorers import ITEMS, follows

PENALTY = 1e-3


def problem(users: int = 40, items: int = 12, turned: float = 0.0, seed: int = 0) -> GatedProblem:
    """Targets drawn from a logit whose weight of the first view is 1 + `turned` times the first feature."""
    random = np.random.default_rng(seed)
    unseen = random.random((users, items)) > 0.2
    views = np.where(unseen[:, :, None], random.normal(size=(users, items, 4)), 0).astype(np.float32)
    features = random.normal(size=(users, 2))
    utility = views[:, :, 0] * (1 + turned * features[:, :1]) + random.gumbel(size=(users, items))
    return GatedProblem(views, unseen, np.where(unseen, utility, -np.inf).argmax(1), features)


def brute_force(given: GatedProblem, coefficients: np.ndarray, penalty: float, ridge: float) -> float:
    """The penalised loss, item by item."""
    total = 0.0
    for user, target in enumerate(given.targets):
        weights = coefficients[:, 0] + coefficients[:, 1:] @ given.features[user]
        utility = {item: float(given.views[user, item] @ weights) for item in np.flatnonzero(given.unseen[user])}
        total += np.log(sum(np.exp(value) for value in utility.values())) - utility[target]
    slopes = ridge * (coefficients[:, 1:] ** 2).sum()
    return total / len(given.targets) + penalty * (coefficients[:, 0] ** 2).sum() + slopes


def test_the_loss_is_that_of_a_conditional_logit():
    given, coefficients = problem(), np.random.default_rng(1).normal(size=(4, 3))
    assert given.loss(coefficients) == pytest.approx(brute_force(given, coefficients, 0, 0), rel=1e-5)


def test_derivatives_are_those_of_small_differences():
    given, at = problem(), np.random.default_rng(1).normal(size=(4, 3)) / 2
    gradient, second = given.derivatives(at)
    for place in range(at.size):
        ahead, back = at.copy(), at.copy()
        ahead.flat[place] += 1e-2
        back.flat[place] -= 1e-2
        slope = (brute_force(given, ahead, 0, 0) - brute_force(given, back, 0, 0)) / 2e-2
        assert gradient[place] == pytest.approx(slope, abs=1e-3)
        change = (given.derivatives(ahead)[0] - given.derivatives(back)[0]) / 2e-2
        np.testing.assert_allclose(second[place], change, atol=2e-3)


@pytest.mark.parametrize("ridge", [1.0, 0.01])
def test_no_step_from_the_minimum_lowers_the_penalised_loss(ridge):
    given = problem(turned=1.0)
    found = minimise(given, np.zeros((4, 3)), PENALTY, ridge)
    least = brute_force(given, found, PENALTY, ridge)
    for place in range(found.size):
        for step in (-0.02, 0.02):
            beside = found.copy()
            beside.flat[place] += step
            assert brute_force(given, beside, PENALTY, ridge) > least


def test_slopes_are_found_where_the_world_has_some():
    found, ridge = fit_gate(problem(users=600, turned=1.5), np.full(4, 0.25), PENALTY)
    assert ridge < max(RIDGES)
    assert found[0, 1] == pytest.approx(1.5, abs=0.5)
    assert np.abs(np.delete(found[:, 1:].ravel(), 0)).max() < 0.4


def test_where_weights_do_not_depend_on_the_history_the_ridge_is_strong():
    found, ridge = fit_gate(problem(users=300), np.full(4, 0.25), PENALTY)
    assert ridge >= 0.1 and np.abs(found[:, 1:]).max() < 0.2


def test_the_ridge_is_chosen_by_users_that_were_left_out():
    given = problem(users=50, seed=3)
    fixed = np.column_stack([np.full(4, 0.25), np.zeros((4, 2))])
    folds, losses = np.random.default_rng(0).permutation(50) % 5, []
    for ridge in RIDGES:
        left_out = 0.0
        for fold in range(5):
            learned = minimise(given.of(np.flatnonzero(folds != fold)), fixed, PENALTY, ridge)
            left_out += brute_force(given.of(np.flatnonzero(folds == fold)), learned, 0, 0)
        losses.append(left_out)
    assert choose_ridge(given, fixed, PENALTY, seed=0) == RIDGES[int(np.argmin(losses))]


def test_a_single_user_is_enough():
    found, ridge = fit_gate(problem(users=1), np.full(4, 0.25), PENALTY)
    assert np.isfinite(found).all() and ridge == RIDGES[0]


def test_unseen_items_are_those_that_stand_in_no_history():
    assert unseen_items([np.array([1, 1]), np.empty(0, np.int64)], 3).tolist() == [[True, False, True], [True] * 3]


def test_long_histories_go_by_one_scorer_and_short_ones_by_the_other():
    """People with long histories go step by step, those with short ones leave out every other item."""

    class TwoSteps:
        name = "two-steps"

        def fit(self, data):
            pass

        def scores(self, histories):
            return np.roll(follows(histories), 1, axis=1)

    # a first item that comes again and again makes a history long, and leaves as many items unseen
    walks = [(user + (1 + user % 2) * np.arange(4)) % ITEMS for user in range(60)]
    histories = [walk if user % 2 else np.append(np.repeat(walk[0], 8), walk) for user, walk in enumerate(walks)]
    following = [(walk[-1] + 1 + user % 2) % ITEMS for user, walk in enumerate(walks)]
    right = {}
    for gated in (False, True):
        fusion = fit_fusion("model", follows, {"two-steps": TwoSteps}, FitData(histories, ITEMS), gated=gated)
        right[gated] = np.mean(fusion(histories, 1)[:, 0] == following)
    assert right[True] == 1.0 > 0.6 > right[False]
    assert fusion.ridge < max(RIDGES)
    one, two = (fusion.gate.slopes[name][:, 0].sum() for name in ("model", "two-steps"))
    assert one > 0 > two  # lengths, the first feature, speak for single steps
