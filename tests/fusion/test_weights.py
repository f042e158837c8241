from __future__ import annotations

import numpy as np
import pytest

from recommender.baselines import BASELINES, FitData
from recommender.errors import DataError
from recommender.fusion.views import score_views
from recommender.fusion.weights import fit_fusion, fit_weights

ITEMS = 30


def walks(users=60, length=8):
    return [np.arange(start, start + length) % ITEMS for start in range(users)]


def follows(histories, strength=5.0):
    """A scorer that knows that the next item is the one after the last."""
    scores = np.zeros((len(histories), ITEMS), np.float32)
    for row, history in zip(scores, histories, strict=True):
        row[(history[-1] + 1) % ITEMS] = strength
    return scores


def noise(histories):
    return np.random.default_rng(3).normal(size=(len(histories), ITEMS)).astype(np.float32)


def test_both_views_ignore_seen_items_and_the_scale_of_a_scorer():
    scores, histories = noise(walks(4)), walks(4)
    views = score_views(scores, histories)
    np.testing.assert_allclose(views, score_views(1000 * scores + 7, histories), atol=1e-4)
    for user, seen in enumerate(histories):
        unseen = np.setdiff1d(np.arange(ITEMS), seen)
        assert not views[user, seen].any()
        assert views[user, unseen, 0].mean() == pytest.approx(0, abs=1e-5)
        assert views[user, unseen, 0].std() == pytest.approx(1, abs=1e-4)
        best = unseen[np.argmax(scores[user, unseen])]
        assert views[user, best, 1] == pytest.approx(-np.log(5.0))


def test_items_that_must_not_be_ranked_count_as_the_lowest():
    scores = np.array([[-np.inf, 1.0, 2.0, 3.0]])
    views = score_views(scores, [np.array([3])])
    assert np.isfinite(views).all()
    assert views[0, 0, 0] == views[0, 1, 0]


def test_ties_share_a_rank_whatever_their_index():
    views = score_views(np.zeros((1, 5)), [np.array([4])])
    assert len(set(views[0, :4, 1].tolist())) == 1


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

    class Spy:
        name = "spy"

        def fit(self, data):
            seen.append([len(history) for history in data.histories])

        def scores(self, histories):
            return noise(histories)

    fit_fusion("model", noise, {"spy": Spy}, FitData(walks(), ITEMS))
    assert seen == [[7] * 60, [8] * 60]


def test_the_same_input_gives_the_same_weights():
    data = FitData(walks(), ITEMS)
    first, second = (fit_fusion("m", follows, {"popularity": BASELINES["popularity"]}, data).weights for _ in range(2))
    assert first == second


def test_histories_of_one_item_leave_nothing_to_fit_on():
    with pytest.raises(DataError, match="no history has two items"):
        fit_fusion("model", noise, {}, FitData([np.array([1]), np.array([2])], ITEMS))
