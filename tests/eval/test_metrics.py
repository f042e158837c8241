from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.eval import metrics

KS = (1, 3, 5, 10)


def random_case(seed, users=20, items=25, longest=12, most=4):
    """Ranked lists of varying length and one to `most` targets a user, both padded with -1."""
    generator = np.random.default_rng(seed)
    ranked = np.full((users, longest), -1)
    targets = np.full((users, most), -1)
    for user in range(users):
        length, count = generator.integers(0, longest + 1), generator.integers(1, most + 1)
        ranked[user, :length] = generator.permutation(items)[:length]
        targets[user, :count] = generator.permutation(items)[:count]
    return ranked, targets


def judged(ranked, targets, measure):
    """One value a user from ir-measures, which leaves out users without a ranked item."""
    qrels = [ir_measures.Qrel(str(user), str(item), 1) for user, row in enumerate(targets) for item in row if item >= 0]
    run = [
        ir_measures.ScoredDoc(str(user), str(item), float(-rank))
        for user, row in enumerate(ranked)
        for rank, item in enumerate(row)
        if item >= 0
    ]
    found = {int(one.query_id): one.value for one in ir_measures.iter_calc([measure], qrels, run)}
    return np.array([found.get(user, 0.0) for user in range(len(ranked))])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("most", [1, 4])
def test_every_metric_agrees_with_ir_measures(seed, most):
    ranked, targets = random_case(seed, most=most)
    theirs = {
        "recall": ir_measures.R,
        "ndcg": ir_measures.nDCG,
        "mrr": ir_measures.RR,
        "map": ir_measures.AP,
        "hit_rate": ir_measures.Success,
    }
    values = metrics.accuracy_per_user(ranked, targets, KS)
    assert set(values) == {(name, k) for name in theirs for k in KS}
    for (name, k), ours in values.items():
        np.testing.assert_allclose(ours, judged(ranked, targets, theirs[name] @ k), atol=1e-6, err_msg=name)


def test_one_target_at_a_known_rank():
    ranked = np.array([[4, 2, 7], [1, 2, 3], [5, -1, -1]])
    values = metrics.accuracy_per_user(ranked, np.array([2, 9, 5]), (1, 3))
    means = {f"{name}@{k}": column.mean() for (name, k), column in values.items()}
    assert means["recall@1"] == pytest.approx(1 / 3)
    assert means["hit_rate@3"] == pytest.approx(2 / 3)
    assert means["mrr@3"] == pytest.approx((1 / 2 + 0 + 1) / 3)
    assert means["ndcg@3"] == pytest.approx((1 / np.log2(3) + 0 + 1) / 3)


def test_padding_of_the_list_never_matches_padding_of_the_targets():
    ranked, targets = np.array([[3, -1, -1]]), np.array([[5, -1]])
    assert all(column[0] == 0 for column in metrics.accuracy_per_user(ranked, targets, (3,)).values())


def test_a_user_without_target_is_nan_and_not_zero():
    values = metrics.accuracy_per_user(np.array([[1, 2], [1, 2]]), np.array([-1, 1]), (2,))
    assert all(np.isnan(column[0]) and column[1] == 1 for column in values.values())


def test_a_k_beyond_the_list_counts_what_is_there():
    values = metrics.accuracy_per_user(np.array([[7, 3]]), np.array([[3, 9]]), (10,))
    assert values["recall", 10][0] == 0.5
    assert values["map", 10][0] == pytest.approx(0.25)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_metrics_lie_between_zero_and_one_and_recall_rises_with_k(seed):
    values = metrics.accuracy_per_user(*random_case(seed, users=5), KS)
    assert all(((column >= 0) & (column <= 1 + 1e-12)).all() for column in values.values())
    for short, long in zip(KS, KS[1:], strict=False):
        assert (values["recall", short] <= values["recall", long]).all()


def test_coverage_counts_distinct_items_of_the_first_k():
    ranked = np.array([[0, 1], [0, 2], [0, -1]])
    assert metrics.coverage(ranked, items=10, k=1) == pytest.approx(0.1)
    assert metrics.coverage(ranked, items=10, k=2) == pytest.approx(0.3)


def test_gini_matches_the_mean_absolute_difference():
    ranked = np.array([[0, 1], [0, 2], [0, 1]])
    shown = np.array([3, 2, 1, 0])
    expected = np.abs(shown[:, None] - shown).sum() / (2 * len(shown) * shown.sum())
    assert metrics.gini(ranked, items=4, k=2) == pytest.approx(expected)
    assert metrics.gini(np.array([[0, 1], [2, 3]]), items=4, k=2) == pytest.approx(0)


def test_novelty_is_the_mean_surprise_in_bits():
    popularity = np.array([8, 4, 4, 0])
    assert metrics.novelty(np.array([[0, 1], [2, -1]]), popularity, 2) == pytest.approx((1 + 2 + 2) / 3)
    assert metrics.novelty(np.array([[3]]), popularity, 1) == pytest.approx(4)  # unseen: as one of 16


def test_lists_without_any_item_have_no_gini_and_no_novelty():
    empty = np.full((2, 3), -1)
    assert metrics.coverage(empty, 5, 3) == 0
    assert np.isnan(metrics.gini(empty, 5, 3)) and np.isnan(metrics.novelty(empty, np.ones(5), 3))


def test_the_share_of_cold_items_counts_places():
    popularity = np.array([3, 0, 1, 0])
    assert metrics.cold_share(np.array([[0, 1], [3, -1]]), popularity, 2) == pytest.approx(2 / 3)
    assert metrics.cold_share(np.array([[0, 1], [2, 3]]), popularity, 1) == 0
    assert np.isnan(metrics.cold_share(np.array([[-1]]), popularity, 1))
