"""From scores to lists: the best unseen items, whatever the ties, and how long a fit took."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.baselines import FitData, make_baseline
from recommender.baselines.topk import PADDING, fit_baseline, rank_topk


def ranked_by_hand(scores, history, k):
    """The k best unseen items by score, then index."""
    items = [i for i in range(len(scores)) if i not in history and scores[i] > -np.inf]
    items = sorted(items, key=lambda item: (-scores[item], item))[:k]
    return [*items, *[PADDING] * (k - len(items))]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]), min_size=1, max_size=9),
    st.lists(st.integers(0, 8), max_size=6),
    st.integers(1, 12),
)
def test_the_list_is_that_of_a_sort(scores, history, k):
    history = [item for item in history if item < len(scores)]
    table = np.array([scores], dtype=np.float32)
    ranked = rank_topk(table, [np.array(history, dtype=np.int64)], k)
    assert ranked.tolist() == [ranked_by_hand(scores, history, k)]
    assert table.tolist() == [scores]  # the scores are left as they were


def test_seen_items_stay_if_they_are_asked_for():
    scores, histories = np.array([[3.0, 2.0, 1.0]]), [np.array([0])]
    assert rank_topk(scores, histories, 2).tolist() == [[1, 2]]
    assert rank_topk(scores, histories, 2, exclude_seen=False).tolist() == [[0, 1]]


def test_what_has_no_order_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        rank_topk(np.array([[1.0, np.nan]]), [np.array([], dtype=np.int64)], 1)


def test_a_fitted_baseline_ranks_and_tells_how_long_its_fit_took():
    fitted = fit_baseline(make_baseline("popularity"), FitData([np.array([2, 1]), np.array([2])], 4))
    assert fitted([np.array([2])], 2).tolist() == [[1, 0]]
    assert fitted.fit_seconds > 0
    seen_too = fit_baseline(make_baseline("popularity"), FitData([np.array([2])], 4), exclude_seen=False)
    assert seen_too([np.array([2])], 1).tolist() == [[2]]
