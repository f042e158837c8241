from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.baselines import BASELINES, FitData
from recommender.baselines.topk import fit_baseline, rank_topk
from recommender.errors import DataError
from recommender.eval.bootstrap import Bootstrap
from recommender.eval.evaluation import Evaluation
from recommender.eval.holdout import Holdout
from recommender.eval.protocol import evaluate_models

ITEMS = 15


def histories_and_targets(users=40, seed=0):
    generator = np.random.default_rng(seed)
    whole = [generator.permutation(ITEMS)[: generator.integers(3, 8)] for _ in range(users)]
    return [one[:-1] for one in whole], np.array([one[-1] for one in whole])


def measured(rankers, histories, targets, items=ITEMS, **options) -> Evaluation:
    """Evaluate what ranks already, one run each."""
    models = {name: {"only": lambda _, rank=rank: rank} for name, rank in rankers.items()}
    return evaluate_models(models, Holdout(histories, targets, items), **options)


def guess(seed, exclude_seen=True):
    """A ranker of random scores, the same ones for the same history."""

    def rank(histories, k):
        scores = [np.random.default_rng([seed, *history]).random(ITEMS) for history in histories]
        return rank_topk(np.array(scores), histories, k, exclude_seen)

    return rank


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 20), st.booleans())
def test_rank_topk_equals_a_stable_sort(seed, k, exclude_seen):
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 4, size=(6, ITEMS)).astype(np.float32)  # few values: many ties
    histories = [generator.permutation(ITEMS)[: generator.integers(0, ITEMS)] for _ in range(6)]
    ranked = rank_topk(scores, histories, k, exclude_seen)
    for row, score, history in zip(ranked, scores, histories, strict=True):
        left = [item for item in range(ITEMS) if not exclude_seen or item not in history]
        expected = sorted(left, key=lambda item: (-score[item], item))[:k]
        assert row.tolist() == expected + [-1] * (k - len(expected))


def test_rank_topk_leaves_scores_alone_and_never_shows_minus_infinity():
    scores = np.array([[1.0, -np.inf, 3.0, 2.0]])
    before = scores.copy()
    assert rank_topk(scores, [np.array([2])], 4).tolist() == [[3, 0, -1, -1]]
    np.testing.assert_array_equal(scores, before)


def test_rank_topk_refuses_nan():
    with pytest.raises(ValueError, match="NaN"):
        rank_topk(np.array([[0.0, np.nan]]), [np.array([], dtype=np.int64)], 1)


def test_seen_items_are_removed_or_kept_as_asked():
    train = [np.array([0, 1, 2])] * 3
    history, target = [np.array([0, 1])], np.array([0])
    gone = fit_baseline(BASELINES["popularity"](), FitData(train, ITEMS))
    kept = fit_baseline(BASELINES["popularity"](), FitData(train, ITEMS), exclude_seen=False)
    without = measured({"popularity": gone}, history, target)
    assert without.about["targets_in_history"] == 1 and without.row("popularity", "recall", 10)["mean"] == 0
    within = measured({"popularity": kept}, history, target, exclude_seen=False)
    assert within.row("popularity", "recall", 1)["mean"] == 1


def test_users_without_target_are_left_out_and_counted():
    histories, targets = histories_and_targets()
    targets[[3, 17]] = -1
    found = measured({"guess": guess(0)}, histories, targets)
    assert (found.about["users"], found.about["users_without_target"]) == (38, 2)
    assert not {3, 17} & set(found.per_user["user"])
    assert found.per_user["user"].nunique() == 38


def test_the_users_of_the_table_keep_their_place():
    histories, targets = histories_and_targets()
    targets[0] = -1
    found = measured({"guess": guess(0)}, histories, targets)
    hits = found.per_user.query("metric == 'recall' and k == 5").set_index("user")["value"]
    for user, value in hits.items():
        assert value == (targets[user] in guess(0)([histories[user]], 5)[0])


def test_summary_is_the_mean_of_the_users_with_the_bootstrap_of_the_same_seed():
    histories, targets = histories_and_targets()
    found = measured({"a": guess(0), "b": guess(1)}, histories, targets, seed=5, samples=300)
    wide = found.per_user.query("metric == 'ndcg' and k == 10").pivot(index="user", columns="model", values="value")
    sampled = Bootstrap(wide[["a", "b"]].to_numpy()[:, :, None], 5, 300)
    row, alone, against = found.row("b", "ndcg", 10), sampled.means(), sampled.differences(0)
    expected = [alone.mean[1, 0], alone.low[1, 0], alone.high[1, 0]]
    np.testing.assert_allclose([row["mean"], row["low"], row["high"]], expected)
    expected = [against.mean[1, 0], against.low[1, 0], against.high[1, 0]]
    np.testing.assert_allclose([row["difference"], row["difference_low"], row["difference_high"]], expected, atol=1e-12)


def test_the_reference_differs_from_itself_by_nothing():
    found = measured({"a": guess(0), "b": guess(1)}, *histories_and_targets(), reference="b")
    rows = found.summary.query("model == 'b' and metric in ['recall', 'ndcg', 'mrr', 'map', 'hit_rate']")
    assert (rows[["difference", "difference_low", "difference_high"]] == 0).all(axis=None)
    assert found.about["reference"] == "b"


def test_the_curve_meets_the_table():
    found = measured({"a": guess(0)}, *histories_and_targets(), ks=(1, 5, 10))
    curve = found.curves.set_index("k")["recall"]
    assert curve.index.tolist() == list(range(1, 11))
    for k in (1, 5, 10):
        assert curve[k] == pytest.approx(found.row("a", "recall", k)["mean"])


def test_several_targets_a_user():
    targets = np.array([[3, 4, -1], [5, -1, -1], [-1, -1, -1]])
    histories = [np.array([0])] * 3

    def fixed(histories, k):
        return np.tile(np.pad([3, 5], (0, k - 2), constant_values=-1), (len(histories), 1))

    found = measured({"fixed": fixed}, histories, targets)
    assert found.about["targets"] == 3
    assert found.row("fixed", "recall", 5)["mean"] == pytest.approx((0.5 + 1) / 2)


def test_batches_do_not_change_the_result_and_progress_is_told():
    histories, targets = histories_and_targets()
    told = []
    small = measured({"a": guess(0)}, histories, targets, batch=7, progress=lambda *step: told.append(step))
    large = measured({"a": guess(0)}, histories, targets)
    assert small.summary.equals(large.summary)
    assert told[0] == ("ranking with a", 7, 40) and told[-1] == ("ranking with a", 40, 40)


def test_seconds_of_fit_and_ranking():
    histories, targets = histories_and_targets()
    rankers = {"popularity": fit_baseline(BASELINES["popularity"](), FitData(histories, ITEMS)), "guess": guess(0)}
    models = measured(rankers, histories, targets).models.set_index("model")
    assert models.loc["popularity", "fit_seconds"] > 0 and np.isnan(models.loc["guess", "fit_seconds"])
    assert (models["score_seconds"] > 0).all()


def constant(row):
    return lambda histories, k: np.tile(np.array(row + [-1] * (k - len(row))), (len(histories), 1))


@pytest.mark.parametrize(
    ("rank", "complaint"),
    [
        (constant([3, 3]), "twice"),
        (constant([ITEMS]), "outside the catalogue"),
        (constant([-2]), "outside the catalogue"),
        (constant([0]), "has seen"),
        (lambda histories, k: np.zeros((len(histories), 2)), "expected"),
    ],
)
def test_lists_that_would_make_a_metric_wrong_are_refused(rank, complaint):
    with pytest.raises(ValueError, match=complaint):
        measured({"broken": rank}, [np.array([0])], np.array([1]))


def test_wrong_wishes_end_in_one_line_with_a_hint():
    histories, targets = histories_and_targets()
    with pytest.raises(DataError, match="'best' is not among the models") as caught:
        measured({"a": guess(0)}, histories, targets, reference="best")
    assert caught.value.hint == "one of a"
    with pytest.raises(DataError, match="no user has a target"):
        measured({"a": guess(0)}, histories, np.full(len(histories), -1))
    with pytest.raises(DataError, match="no model"):
        measured({}, histories, targets)


def test_an_unmeasured_cell_is_a_key_error():
    found = measured({"a": guess(0)}, *histories_and_targets(), ks=(1,))
    assert found.about["ks"] == [1, 5, 10]
    with pytest.raises(KeyError, match="ndcg@7 of a"):
        found.row("a", "ndcg", 7)
