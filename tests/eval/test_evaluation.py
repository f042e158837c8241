"""From lists to tables: runs, spreads, slices, pairs and users, each checked against numbers worked out by hand."""

from __future__ import annotations

import weakref

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from recommender.baselines.topk import rank_topk
from recommender.eval.beyond_accuracy import Attributes, ItemFacts, calibration, js_divergence
from recommender.eval.bootstrap import Bootstrap
from recommender.eval.holdout import Holdout, HoldoutPart
from recommender.eval.metrics import novelty
from recommender.eval.protocol import evaluate_models

ITEMS, USERS = 30, 45
SEEDS = ("seed 0", "seed 1", "seed 2")


def fixed(seed):
    """A fit whose ranker gives random scores, the same for the same history; some models are better than others."""

    def fit(_):
        def rank(histories, k):
            scores = [np.random.default_rng([seed, *history]).random(ITEMS) + bonus(seed) for history in histories]
            return rank_topk(np.array(scores), histories, k)

        return rank

    return fit


def bonus(seed):
    return np.linspace(0, 1.2, ITEMS) if seed % 2 else np.zeros(ITEMS)


@pytest.fixture(scope="module")
def holdout():
    generator = np.random.default_rng(0)
    whole = [generator.permutation(ITEMS)[: generator.integers(4, 12)] for _ in range(USERS)]
    targets = np.array([own[-1] for own in whole])
    targets[7] = -1
    return Holdout([own[:-1] for own in whole], targets, ITEMS)


@pytest.fixture(scope="module")
def facts():
    generator = np.random.default_rng(1)
    table = sp.csr_array(np.eye(4)[generator.integers(0, 4, ITEMS)])
    return ItemFacts(Attributes("genres", table), None, {"image": np.arange(ITEMS) % 3 == 0})


@pytest.fixture(scope="module")
def evaluation(holdout, facts):
    models = {"even": {"seed 0": fixed(0)}, "odd": {label: fixed(2 * n + 1) for n, label in enumerate(SEEDS)}}
    return evaluate_models(models, holdout, facts, samples=300, seed=4)


def lists_of(holdout, seed, k=20):
    return fixed(seed)(None)([holdout.histories[user] for user in holdout.test_users.tolist()], k)


def hits(lists, holdout, k):
    return (lists[:, :k] == holdout.targets[holdout.test_users][:, None]).any(axis=1).astype(float)


def test_runs_are_averaged_a_user_at_a_time_before_users_are_resampled(evaluation, holdout):
    runs = [hits(lists_of(holdout, seed), holdout, 10) for seed in (1, 3, 5)]
    values = evaluation.per_user.query("model == 'odd' and metric == 'recall' and k == 10")["value"].to_numpy()
    np.testing.assert_allclose(values, np.mean(runs, axis=0))
    row = evaluation.row("odd", "recall", 10)
    even = hits(lists_of(holdout, 0), holdout, 10)
    sampled = Bootstrap(np.stack([even, values], axis=1)[:, :, None], 4, 300)
    means, against = sampled.means(), sampled.differences(0)
    np.testing.assert_allclose([row["low"], row["high"]], [means.low[1, 0], means.high[1, 0]])
    np.testing.assert_allclose(
        [row["difference_low"], row["difference_high"]], [against.low[1, 0], against.high[1, 0]], atol=1e-12
    )
    assert row["users"] == USERS - 1


def test_the_spread_is_the_standard_deviation_over_the_runs(evaluation, holdout):
    means = [hits(lists_of(holdout, seed), holdout, 10).mean() for seed in (1, 3, 5)]
    assert evaluation.row("odd", "recall", 10)["spread"] == pytest.approx(np.std(means, ddof=1))
    assert np.isnan(evaluation.row("even", "recall", 10)["spread"])
    alone = evaluation.runs.query("model == 'odd' and metric == 'recall' and k == 10")
    assert alone["run"].tolist() == list(SEEDS)
    np.testing.assert_allclose(alone["mean"], means)


def test_what_belongs_to_no_user_is_averaged_over_the_runs(evaluation, holdout):
    popularity = np.bincount(np.concatenate(holdout.histories), minlength=ITEMS)
    each = [novelty(lists_of(holdout, seed), popularity, 5) for seed in (1, 3, 5)]
    row = evaluation.row("odd", "novelty", 5)
    assert row["mean"] == pytest.approx(np.mean(each)) and row["spread"] == pytest.approx(np.std(each, ddof=1))
    assert np.isnan(row["low"])


def test_diversity_and_calibration_come_with_intervals(evaluation, holdout, facts):
    histories = [holdout.histories[user] for user in holdout.test_users.tolist()]
    each = [
        calibration(lists_of(holdout, seed), histories, facts.attributes.table, 10, js_divergence) for seed in (1, 3, 5)
    ]
    row = evaluation.row("odd", "calibration_js", 10)
    assert row["mean"] == pytest.approx(np.mean(each)) and row["low"] < row["mean"] < row["high"]
    assert evaluation.has("diversity") and not evaluation.has("content_diversity")
    assert evaluation.about["attribute"] == "genres"


def test_a_slice_is_measured_on_its_own_targets_and_its_users_alone(evaluation, holdout):
    targets = holdout.targets[holdout.test_users]
    within = targets % 3 == 0
    row = evaluation.slices.query("slice == 'target without image' and model == 'even' and metric == 'recall'").iloc[0]
    values = hits(lists_of(holdout, 0), holdout, 10)[within]
    assert (row["users"], row["targets"]) == (within.sum(), within.sum())
    assert row["mean"] == pytest.approx(values.mean())
    found = Bootstrap(values[:, None, None], 4, 300).means()
    assert (row["low"], row["high"]) == (pytest.approx(found.low[0, 0]), pytest.approx(found.high[0, 0]))
    assert row["few"] == (within.sum() < 30)


def test_slices_that_are_small_or_empty_are_marked(evaluation):
    users = evaluation.slices.groupby("slice")[["users", "few"]].first()
    assert (users["few"] == (users["users"] < 30)).all()
    empty = evaluation.slices[evaluation.slices["users"] == 0]
    assert len(empty) and empty["mean"].isna().all() and empty["few"].all()


def test_of_several_targets_a_slice_asks_for_those_within():
    holdout = Holdout([np.array([9])], np.array([[0, 1]]), 10)  # neither was ever seen in training, one has no image

    def fit(_):
        return lambda histories, k: np.array([[0] + [-1] * (k - 1)])

    found = evaluate_models({"zero": {"": fit}}, holdout, ItemFacts(lacking={"image": np.arange(10) == 1}), samples=20)
    means = found.slices.query("metric == 'recall'").set_index("slice")["mean"]
    assert means["target never seen in training"] == 0.5 and means["target without image"] == 0
    assert found.row("zero", "recall", 10)["mean"] == 0.5


def test_every_pair_is_the_difference_of_two_models(evaluation):
    assert len(evaluation.pairs) == 4  # two orders, two metrics
    forth, back = (
        evaluation.pairs.query("model == @a and other == @b and metric == 'ndcg'").iloc[0]
        for a, b in (("odd", "even"), ("even", "odd"))
    )
    row = evaluation.row("odd", "ndcg", 10)
    expected = [row["difference"], row["difference_low"], row["difference_high"]]
    np.testing.assert_allclose(forth[["difference", "low", "high"]].to_list(), expected)
    np.testing.assert_allclose(back[["difference", "high", "low"]].to_list(), np.negative(expected))


def test_users_tell_history_target_and_rank_in_every_run(evaluation, holdout):
    users = evaluation.users
    assert list(users.columns) == [
        *("user", "target", "history", "target_count", "rank even"),
        *(f"rank odd, {label}" for label in SEEDS),
    ]
    assert users["user"].tolist() == holdout.test_users.tolist() and len(users) == USERS - 1
    learnt = np.concatenate(holdout.histories)
    lists = lists_of(holdout, 3)
    for place, row in enumerate(users.to_dict("records")):
        assert row["target"] == holdout.targets[row["user"]]
        assert row["history"] == len(holdout.histories[row["user"]])
        assert row["target_count"] == (learnt == row["target"]).sum()
        found = np.flatnonzero(lists[place] == row["target"])
        rank = row["rank odd, seed 1"]
        assert pd.isna(rank) if len(found) == 0 else rank == found[0] + 1


def test_folds_fit_anew_and_put_everybody_in_place(holdout):
    asked = holdout.test_users
    parts = [HoldoutPart([holdout.histories[0]], asked[1::2]), HoldoutPart([holdout.histories[1]], asked[::2])]
    learnt, told = [], []

    def fit(learn):
        learnt.append(learn[0].tolist())
        return fixed(3)(learn)

    apart = Holdout(holdout.histories, holdout.targets, ITEMS, explicit_parts=parts)
    found = evaluate_models({"m": {"": fit}}, apart, batch=8, progress=lambda *step: told.append(step))
    assert learnt == [holdout.histories[0].tolist(), holdout.histories[1].tolist()]
    whole = evaluate_models({"m": {"": fixed(3)}}, holdout)
    pd.testing.assert_frame_equal(found.per_user, whole.per_user)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert told[-1] == ("ranking with m", USERS - 1, USERS - 1)


def test_a_model_is_gone_before_the_next_is_made(holdout):
    made = []

    class Ranker:
        def __call__(self, histories, k):
            return fixed(0)(None)(histories, k)

    def fit(_):
        assert all(earlier() is None for earlier in made)
        ranker = Ranker()
        made.append(weakref.ref(ranker))
        return ranker

    found = evaluate_models({"a": {"0": fit, "1": fit}, "b": {"0": fit}}, holdout)
    assert found.models["runs"].tolist() == [2, 1] and len(made) == 3
    assert (found.models["memory_mb"] >= 0).all()
