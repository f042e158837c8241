"""Factorisations: they find the structure, and a user who was not trained on is ranked as one who was."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from recommender.baselines import FitData
from recommender.baselines.factorisation import Als, Bpr, FoldIn, PureSvd
from recommender.baselines.history_matrix import history_matrix
from recommender.errors import RecommenderError
from tests.baselines.worlds import ITEMS, CheckerboardBehaviour, checkerboard


class TestPureSvd(CheckerboardBehaviour):
    @staticmethod
    def make() -> PureSvd:
        return PureSvd(factors=2, decay=4.0)


class TestAls(CheckerboardBehaviour):
    @staticmethod
    def make() -> Als:
        return Als(factors=2, regularisation=0.1, decay=4.0)


class TestBpr(CheckerboardBehaviour):
    @staticmethod
    def make() -> Bpr:
        return Bpr(factors=8, learning_rate=0.1, iterations=60, decay=4.0)


def test_svd_is_the_projection_onto_the_first_right_singular_vectors():
    train = checkerboard()
    seen = history_matrix(train, ITEMS).toarray()
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
