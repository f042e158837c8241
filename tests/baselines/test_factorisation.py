"""Factorisations: they find the structure, and a user who was not trained on is ranked as one who was."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from recommender.baselines import FitData, profiles
from recommender.baselines.factorisation import Als, Bpr, FoldIn, PureSvd
from recommender.baselines.ranking import rank_topk
from recommender.errors import RecommenderError

ITEMS = 20
SMALL = {
    "svd": lambda: PureSvd(factors=2, decay=4.0),
    "als": lambda: Als(factors=2, regularisation=0.1, decay=4.0),
    "bpr": lambda: Bpr(factors=8, learning_rate=0.1, iterations=60, decay=4.0),
}


def checkerboard(users=60, seed=0):
    """Even users have seen most even items in some order, odd users most odd ones."""
    generator = np.random.default_rng(seed)
    return [generator.permutation(np.arange(user % 2, ITEMS, 2))[:8] for user in range(users)]


@pytest.fixture(scope="module", params=SMALL)
def ranker(request):
    made = SMALL[request.param]()
    made.fit(FitData(checkerboard(), ITEMS + 2))  # two items nobody has seen
    return made


def test_users_are_shown_the_items_of_their_kind_that_they_miss(ranker):
    train = checkerboard()
    ranked = rank_topk(ranker.scores(train), train, k=2)
    hits = [set(row) == set(range(user % 2, ITEMS, 2)) - set(train[user]) for user, row in enumerate(ranked)]
    assert np.mean(hits) > 0.9


def test_a_user_who_was_not_trained_on_is_served(ranker):
    ranked = rank_topk(ranker.scores([np.array([1, 3])]), [np.array([1, 3])], k=8)
    assert set(ranked[0]) == set(range(5, ITEMS, 2))


def test_recent_taste_outweighs_old_taste(ranker):
    turned = np.concatenate([np.arange(1, 16, 2), np.arange(0, 10, 2)])
    for history in (turned, turned[::-1]):
        assert rank_topk(ranker.scores([history]), [history], 1)[0, 0] % 2 == history[-1] % 2


def test_scores_are_finite_float32_and_do_not_depend_on_who_is_asked_beside(ranker):
    histories = [np.array([0, 2]), np.array([], dtype=np.int64), np.array([19])]
    together = ranker.scores(histories)
    assert together.shape == (3, ITEMS + 2) and together.dtype == np.float32 and np.isfinite(together).all()
    apart = np.concatenate([ranker.scores([history]) for history in histories])
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-5)


def test_a_fit_can_be_repeated(ranker):
    again = SMALL[ranker.name]()
    again.fit(FitData(checkerboard(), ITEMS + 2))
    np.testing.assert_allclose(ranker.scores(checkerboard()), again.scores(checkerboard()), rtol=1e-4, atol=1e-5)


def test_svd_is_the_projection_onto_the_first_right_singular_vectors():
    train = checkerboard()
    seen = profiles(train, ITEMS).toarray()
    right = np.linalg.svd(seen.astype(np.float64))[2][:3]
    made = PureSvd(factors=3, decay=None)
    made.fit(FitData(train, ITEMS))
    np.testing.assert_allclose(made.scores(train), seen @ right.T @ right, atol=1e-4)


def test_svd_takes_fewer_factors_from_a_small_matrix():
    made = PureSvd(factors=64)
    made.fit(FitData([np.array([0, 1]), np.array([1, 2]), np.array([2])], 3))
    assert np.isfinite(made.scores([np.array([0])])).all()


def test_als_recalculates_a_user_as_the_least_squares_say():
    made, train = Als(factors=4, regularisation=0.5, alpha=3.0, decay=None), checkerboard()
    made.fit(FitData(train, ITEMS))
    factors = made._model.item_factors.astype(np.float64)
    history = np.array([0, 4, 6])
    confidence = np.ones(ITEMS)
    confidence[history] = 3.0
    gram = factors.T @ (confidence[:, None] * factors) + 0.5 * np.eye(4)
    user = np.linalg.solve(gram, factors.T @ (confidence * np.isin(np.arange(ITEMS), history)))
    np.testing.assert_allclose(made.scores([history])[0], factors @ user, rtol=1e-2, atol=1e-3)


def test_the_fold_in_finds_a_linear_map_and_treats_equal_histories_alike():
    generator = np.random.default_rng(0)
    items, histories = generator.normal(size=(ITEMS, 3)).astype(np.float32), checkerboard()
    means = np.stack([items[history].mean(0) for history in histories])
    truth = generator.normal(size=(3, 5))
    fold = FoldIn(means @ truth + 1, items, FitData(histories, ITEMS), ridge=1e-9)
    np.testing.assert_allclose(fold(histories, None), means @ truth + 1, atol=1e-3)
    assert fold([np.array([], dtype=np.int64)], None).shape == (1, 5)


@pytest.mark.parametrize("make", [Als, Bpr])
def test_a_missing_library_is_named_with_what_installs_it(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "implicit.cpu.als", None)
    monkeypatch.setitem(sys.modules, "implicit.cpu.bpr", None)
    with pytest.raises(RecommenderError, match=f"{make.name} needs the package implicit") as error:
        make().fit(FitData(checkerboard(), ITEMS))
    assert error.value.hint == "pip install 'recommender[eval]'"
