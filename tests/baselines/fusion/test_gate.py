"""A gate: the features of histories, weights of each, and what it does where counts or scorers change."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.baselines.fusion.gate import FEATURES, Gate, agreement, fused_scores, history_features, item_counts
from recommender.baselines.fusion.score_views import score_views
from tests.baselines.fusion.scorers import ITEMS, follows, noise, walks

SLOPES = np.arange(2 * len(FEATURES), dtype=np.float64).reshape(2, -1) / 10


def gate(**slopes) -> Gate:
    mean, spread = np.array([1.0, 2.0, 0.3, 0.0, 0.5]), np.array([0.5, 1.0, 0.2, 0.4, 0.1])
    return Gate(slopes, mean, spread, np.arange(ITEMS, dtype=float))


def test_features_are_those_of_the_history_alone_and_of_the_scorers():
    counts = np.array([9.0, 0.0, 3.0, 1.0, 7.0])  # the median is 3
    history = np.array([2, 0, 3, 0, 0, 4])
    found = history_features([np.zeros((1, 5))], [history], counts)[0]
    mean = np.mean(np.log([4, 10, 2, 10, 10, 8]))
    expected = [np.log(7), mean, 2 / 6, np.mean(np.log([10, 2, 10, 10, 8])) - mean, 0.0]
    assert dict(zip(FEATURES, found, strict=True)) == pytest.approx(dict(zip(FEATURES, expected, strict=True)))


def test_an_empty_history_has_features():
    found = history_features([noise([np.empty(0, np.int64)])], [np.empty(0, np.int64)], np.ones(ITEMS))
    assert found.tolist() == [[0.0] * len(FEATURES)]


def test_agreement_is_the_mean_overlap_of_the_first_ten_unseen_items_by_brute_force():
    histories = walks(9, length=3)
    scores = [noise(histories), follows(histories), -noise(histories), np.roll(noise(histories), 2, axis=1)]
    found = agreement(scores, histories)
    for user, seen in enumerate(histories):
        firsts = []
        for part in scores:
            ordered = [item for item in np.argsort(-part[user], kind="stable").tolist() if item not in seen]
            firsts.append(set(ordered[:10]))
        pairs = [len(firsts[a] & firsts[b]) / 10 for a in range(4) for b in range(a)]
        assert found[user] == pytest.approx(np.mean(pairs))


def test_scorers_with_fewer_than_ten_items_to_show_do_not_agree_about_nothing():
    scores = np.full((1, 20), -np.inf)
    scores[0, :3] = [3, 2, 1]
    assert agreement([scores, scores], [np.array([0])]).tolist() == [0.2]


def test_a_scorer_is_weighed_by_the_features_of_each_history():
    histories = walks(5, length=4)
    scores = {"one": noise(histories), "two": follows(histories)}
    slopes = gate(one=SLOPES, two=-SLOPES)
    weights = {"one": (1.0, 0.5), "two": (2.0, 0.1)}
    features = history_features(list(scores.values()), histories, slopes.counts)
    found = fused_scores(scores, histories, weights, slopes)
    for user, seen in enumerate(histories):
        distance = np.clip((features[user] - slopes.mean) / slopes.spread, -3, 3)
        expected = np.zeros(ITEMS)
        for name, sign in (("one", 1), ("two", -1)):
            standard, log_rank = np.array(weights[name]) + sign * SLOPES @ distance
            views = score_views(scores[name][[user]], [seen])[0]
            expected += standard * views[:, 0] + log_rank * views[:, 1]
        expected[seen] = -np.inf
        np.testing.assert_allclose(found[user], expected, rtol=1e-4, atol=1e-5)


def test_without_slopes_a_gate_is_fixed_weights():
    histories = walks(4)
    scores, weights = {"one": noise(histories), "two": follows(histories)}, {"one": (1.0, 0.5), "two": (2.0, 0.1)}
    flat = gate(one=np.zeros((2, len(FEATURES))), two=np.zeros((2, len(FEATURES))))
    fixed = fused_scores(scores, histories, weights, None)
    np.testing.assert_allclose(fused_scores(scores, histories, weights, flat), fixed, rtol=1e-6)


def test_an_unheard_of_history_gets_the_weights_of_the_farthest_known_ones():
    slopes = gate(one=SLOPES)
    far, farther = np.array([[1e3, -1e3, 0.3, 0.0, 0.5]]), np.array([[1e6, -1e6, 0.3, 0.0, 0.5]])
    np.testing.assert_array_equal(slopes.bounded(far), slopes.bounded(farther))
    np.testing.assert_array_equal(slopes.bounded(far)[0, :2], [3, -3])


def test_items_are_counted_anew_for_other_histories_and_more_items():
    assert item_counts([np.array([1, 1, 0]), np.empty(0, np.int64)], 4).tolist() == [1, 2, 0, 0]
    more = gate(one=SLOPES).recounted([np.array([3])], ITEMS + 2)
    assert len(more.counts) == ITEMS + 2 and more.counts.sum() == 1 and more.slopes["one"] is SLOPES


def test_scorers_are_renamed_and_scaled():
    changed = gate(one=SLOPES, two=SLOPES).renamed({"one": "first", "two": "two"}).scaled({"first": 0.0})
    assert not changed.slopes["first"].any()
    np.testing.assert_array_equal(changed.slopes["two"], SLOPES)
