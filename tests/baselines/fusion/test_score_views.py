"""Views of scores: any scale, any ties, and nothing of seen items."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from recommender.baselines.fusion.score_views import RANK_OFFSET, mask_seen, score_views, weighted_scores
from tests.baselines.fusion.scorers import ITEMS, noise, walks


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


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=3, max_size=8), st.sets(st.integers(0, 7), max_size=2))
def test_the_views_are_the_standard_score_and_the_log_of_the_mean_rank(values, seen):
    seen = [item for item in seen if item < len(values)]
    scores = np.array([values], dtype=np.float64)
    views = score_views(scores, [np.array(seen, dtype=np.int64)])
    unseen = np.setdiff1d(np.arange(len(values)), seen)
    spread = scores[0, unseen].std()
    standard = (scores[0, unseen] - scores[0, unseen].mean()) / (spread or 1.0)
    np.testing.assert_allclose(views[0, unseen, 0], standard, atol=1e-5)
    ranks = rankdata(-scores[0, unseen]) - 1
    np.testing.assert_allclose(views[0, unseen, 1], -np.log(RANK_OFFSET + ranks), rtol=1e-5)
    assert not views[0, seen].any()


def test_a_user_without_any_rankable_item_gets_flat_views():
    views = score_views(np.full((1, 4), -np.inf), [np.array([0])])
    assert np.isfinite(views).all() and (views[0, 1:, 0] == 0).all()


def test_weights_apply_to_the_two_views():
    scores, histories = noise(walks(3)), walks(3)
    views = score_views(scores, histories)
    weighted = weighted_scores(scores, histories, (2.0, -0.5))
    assert weighted.dtype == np.float32
    np.testing.assert_allclose(weighted, 2 * views[..., 0] - 0.5 * views[..., 1], rtol=1e-5, atol=1e-6)


def test_seen_items_are_masked_in_place():
    scores = np.zeros((2, 4), np.float32)
    assert mask_seen(scores, [np.array([1, 1]), np.array([], dtype=np.int64)]) is scores
    assert np.isneginf(scores).tolist() == [[False, True, False, False], [False] * 4]


def test_histories_and_scores_must_be_as_many():
    with pytest.raises(ValueError, match="zip"):
        mask_seen(np.zeros((2, ITEMS)), walks(3))
