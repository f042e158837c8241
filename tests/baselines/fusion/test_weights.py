"""Fitting a fusion: weights go to the scorer that knows, and are fitted on what no baseline has seen."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from recommender.baselines import BASELINES, FitData
from recommender.baselines.fusion.score_views import score_views
from recommender.baselines.fusion.weights import fit_fusion, fit_weights
from recommender.errors import DataError
from tests.baselines.fusion.scorers import ITEMS, follows, noise, walks


class Spy:
    """A baseline of chance that tells `seen` how long the histories are that it is fitted on."""

    name = "spy"

    def __init__(self, seen):
        self.seen = seen

    def fit(self, data):
        self.seen.append([len(history) for history in data.histories])

    def scores(self, histories):
        return noise(histories)


def test_the_scorer_that_knows_gets_the_weight():
    histories = walks()
    known, targets = [h[:-1] for h in histories], np.array([h[-1] for h in histories])
    views = [score_views(noise(known), known), score_views(follows(known), known)]
    useless, useful = fit_weights(views, targets, known)
    assert max(useful) > 10 * max(map(abs, useless))


def test_fused_is_as_good_as_its_best_part_and_leaves_seen_items_out():
    histories = walks()
    targets = [(h[-1] + 1) % ITEMS for h in histories]
    for model in (follows, noise):
        fused = fit_fusion(
            "model", model, {"sequential-item-knn": BASELINES["sequential-item-knn"]}, FitData(histories, ITEMS)
        )
        ranked = fused(histories, 5)
        if model is follows:
            assert (ranked[:, 0] == targets).all()
        assert not any(np.isin(row, seen).any() for row, seen in zip(ranked, histories, strict=True))
        assert set(fused.weights) == set(fused.seconds) == {"model", "sequential-item-knn"}
        assert fused.fit_seconds > 0


def test_weights_are_fitted_on_baselines_that_have_not_seen_the_validation_target():
    seen = []

    fit_fusion("model", noise, {"spy": partial(Spy, seen)}, FitData(walks(), ITEMS))
    assert seen == [[7] * 60, [8] * 60]


def test_the_same_input_gives_the_same_weights():
    data = FitData(walks(), ITEMS)
    first, second = (fit_fusion("m", follows, {"popularity": BASELINES["popularity"]}, data).weights for _ in range(2))
    assert first == second


def test_histories_of_one_item_leave_nothing_to_fit_on():
    with pytest.raises(DataError, match="no history has two items"):
        fit_fusion("model", noise, {}, FitData([np.array([1]), np.array([2])], ITEMS))


def test_the_weights_are_those_of_a_conditional_logit():
    """At the optimum the gradient of likelihood and penalty is zero: worked out here without torch."""
    histories = walks(20)
    inputs, targets = [h[:-1] for h in histories], np.array([h[-1] for h in histories])
    views = [score_views(noise(inputs) + follows(inputs, 1.0), inputs), score_views(noise(inputs)[::-1], inputs)]
    weights = np.array(fit_weights(views, targets, inputs)).ravel()
    features = np.concatenate(views, axis=2).astype(np.float64)
    gradient = 2 * 1e-3 * weights
    for user, (history, target) in enumerate(zip(inputs, targets, strict=True)):
        unseen = np.setdiff1d(np.arange(ITEMS), history)
        logits = features[user, unseen] @ weights
        probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        gradient += (probabilities @ features[user, unseen] - features[user, target]) / len(inputs)
    np.testing.assert_allclose(gradient, 0, atol=1e-3)


def test_progress_is_told_for_each_baseline():
    steps = []
    baselines = {name: BASELINES[name] for name in ("popularity", "item-knn")}
    fit_fusion("m", follows, baselines, FitData(walks(), ITEMS), lambda *step: steps.append(step))
    assert steps == [("weights of the fusion", 1, 2), ("weights of the fusion", 2, 2)]


def test_no_more_than_a_thousand_users_decide_the_weights():
    asked = []

    def model(histories):
        asked.append(len(histories))
        return follows(histories)

    fit_fusion("m", model, {"popularity": BASELINES["popularity"]}, FitData(walks(1500), ITEMS))
    assert asked == [1000]


def test_what_each_scorer_costs_adds_up():
    fusion = fit_fusion("m", follows, {"popularity": BASELINES["popularity"]}, FitData(walks(), ITEMS))
    assert fusion.seconds == {}
    fusion.scores(walks(2))
    first = dict(fusion.seconds)
    fusion.scores(walks(2))
    assert all(fusion.seconds[name] > seconds > 0 for name, seconds in first.items())


def test_weights_are_fitted_on_what_the_language_model_has_not_learned_alone():
    histories, asked, seen = walks(), [], []
    unlearned = np.arange(len(histories)) % 3 == 0

    def model(asked_for):
        asked.append([history.tolist() for history in asked_for])
        return follows(asked_for)

    fit_fusion("m", model, {"spy": partial(Spy, seen)}, FitData(histories, ITEMS), unlearned=unlearned)
    assert asked[0] == [h[:-1].tolist() for h, held in zip(histories, unlearned, strict=True) if held]
    assert seen[0] == [len(h) - held for h, held in zip(histories, unlearned, strict=True)]
    assert seen[1] == [len(h) for h in histories]
