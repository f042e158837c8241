"""Baselines that learn from histories and from what items are: lightfm, lightgcn and vbpr."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from recommender.baselines import FitData, ItemContent
from recommender.baselines.history_contexts import TrainingPlan
from recommender.baselines.lightfm import LightFm, item_features
from recommender.baselines.lightgcn import LightGcn, bipartite
from recommender.baselines.ranking import rank_topk
from recommender.baselines.vbpr import Vbpr
from recommender.encoders.features import Features
from recommender.errors import DataError, RecommenderError

ITEMS = 20
NEW = ITEMS, ITEMS + 1  # nobody has seen them: one is even by its content, the other odd
SMALL = {
    "lightfm": lambda: LightFm(width=8, plan=TrainingPlan(epochs=30, learning_rate=2e-2, batch=64)),
    "lightgcn": lambda: LightGcn(width=8, plan=TrainingPlan(epochs=20, learning_rate=3e-2, batch=64)),
    "vbpr": lambda: Vbpr(factors=4, epochs=12, learning_rate=0.05, batch=64),
}


def checkerboard(users=60, seed=0):
    """Even users have seen most even items in some order, odd users most odd ones."""
    generator = np.random.default_rng(seed)
    return [generator.permutation(np.arange(user % 2, ITEMS, 2))[:8] for user in range(users)]


def data(histories=None, seed=0):
    texts = [f"{'odd' if item % 2 else 'even'} thing{item}" for item in range(ITEMS + 2)]
    kinds = np.eye(2, dtype=np.float32)[np.arange(ITEMS + 2) % 2]
    features = Features({"text": kinds}, {"text": np.ones(ITEMS + 2, bool)})
    return FitData(histories or checkerboard(), ITEMS + 2, ItemContent(texts, lambda: features), seed)


@pytest.fixture(scope="module", params=SMALL)
def ranker(request):
    made = SMALL[request.param]()
    made.fit(data())
    return made


def test_users_are_shown_the_items_of_their_kind_that_they_miss(ranker):
    train = checkerboard()
    ranked = rank_topk(ranker.scores(train)[:, :ITEMS], train, k=2)
    hits = [set(row) == set(range(user % 2, ITEMS, 2)) - set(train[user]) for user, row in enumerate(ranked)]
    assert np.mean(hits) > 0.9


def test_a_user_who_was_not_trained_on_is_served(ranker):
    history = [np.array([1, 3])]
    assert (rank_topk(ranker.scores(history)[:, :ITEMS], history, k=4)[0] % 2 == 1).all()


def test_an_item_that_nobody_has_seen_is_known_by_its_content(ranker):
    even, odd = ranker.scores([np.arange(0, 8, 2), np.arange(1, 8, 2)])[:, NEW]
    assert even[0] > even[1] and odd[1] > odd[0]


def test_recent_taste_outweighs_old_taste(ranker):
    turned = np.concatenate([np.arange(1, 12, 2), np.arange(0, 16, 2)])
    for history in (turned, turned[::-1]):
        scores = ranker.scores([history])[:, :ITEMS]
        assert rank_topk(scores, [history], 1)[0, 0] % 2 == history[-1] % 2


def test_scores_are_finite_float32_and_do_not_depend_on_who_is_asked_beside(ranker):
    histories = [np.array([0, 2]), np.array([], dtype=np.int64), np.array([19])]
    together = ranker.scores(histories)
    assert together.shape == (3, ITEMS + 2) and together.dtype == np.float32 and np.isfinite(together).all()
    apart = np.concatenate([ranker.scores([history]) for history in histories])
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-5)


def test_the_same_seed_gives_the_same_model_and_another_one_another(ranker):
    few, asked = checkerboard(12), checkerboard(4)
    made = [SMALL[ranker.name]() for _ in range(3)]
    for one, seed in zip(made, (0, 0, 1), strict=True):
        one.fit(data(few, seed))
    first, again, other = (one.scores(asked) for one in made)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


@pytest.mark.parametrize("name", SMALL)
def test_without_content_the_baseline_is_named(name):
    with pytest.raises(DataError, match=f"{name} needs the items' content"):
        SMALL[name]().fit(FitData(checkerboard(), ITEMS))


def test_features_are_the_item_itself_and_the_words_that_others_have_too():
    found = item_features(["red river", "red night", "stone"]).toarray()
    np.testing.assert_array_equal(found, [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 0]])
    np.testing.assert_array_equal(item_features(["", "!"]).toarray(), np.eye(2))


def test_the_graph_divides_by_the_roots_of_both_degrees():
    found = bipartite([np.array([0, 1]), np.array([1]), np.array([], dtype=np.int64)], 3).toarray()
    np.testing.assert_allclose(found, [[1 / 2**0.5, 1 / 2, 0], [0, 1 / 2**0.5, 0], [0, 0, 0]], rtol=1e-6)


def test_vbpr_writes_nothing_to_the_standard_output(capsys):
    Vbpr(factors=2, epochs=1).fit(data())
    assert capsys.readouterr().out == ""


def test_a_missing_library_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cornac", None)
    with pytest.raises(RecommenderError, match="vbpr needs the package cornac") as error:
        Vbpr().fit(data())
    assert error.value.hint == "pip install 'recommender[eval]'"
