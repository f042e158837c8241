"""Small worlds of histories for the tests of baselines, and what every baseline must do in the simplest of them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recommender.baselines import Baseline, FitData, ItemContent
from recommender.baselines.next_item import NextItemBaseline, TrainingSchedule
from recommender.baselines.topk import rank_topk
from recommender.encoders.features import Features

ITEMS = 20
NEW_EVEN, NEW_ODD = ITEMS, ITEMS + 1
"""Items that nobody has seen: the content of one is that of the even items, of the other that of the odd ones."""


def checkerboard(users: int = 60, seed: int = 0) -> list[np.ndarray]:
    """Even users have seen most even items in some order, odd users most odd ones."""
    generator = np.random.default_rng(seed)
    return [generator.permutation(np.arange(user % 2, ITEMS, 2))[:8] for user in range(users)]


def circle(items: int = 12, repeats: int = 4) -> list[np.ndarray]:
    """The items stand on a circle, and every user walks around it from another place."""
    return [np.roll(np.arange(items), -start)[: 6 + start % 5] for start in range(items)] * repeats


def random_histories(seed: int, users: int = 30, items: int = 12) -> list[np.ndarray]:
    """Histories of any length, also empty ones."""
    generator = np.random.default_rng(seed)
    return [generator.permutation(items)[: generator.integers(0, items)] for _ in range(users)]


def checkerboard_data(histories: list[np.ndarray] | None = None, seed: int = 0) -> FitData:
    """The checkerboard with two more items that nobody has seen, and content that tells even from odd items."""
    texts = [f"{'odd' if item % 2 else 'even'} thing{item}" for item in range(ITEMS + 2)]
    kinds = np.eye(2, dtype=np.float32)[np.arange(ITEMS + 2) % 2]
    features = Features({"text": kinds}, {"text": np.ones(ITEMS + 2, bool)})
    return FitData(histories or checkerboard(), ITEMS + 2, ItemContent(texts, lambda: features), seed)


def random_content(items: int) -> SimpleNamespace:
    """Text vectors of random items, no two alike."""
    vectors = np.random.default_rng(1).standard_normal((items, 8)).astype(np.float32)
    return SimpleNamespace(texts=[""] * items, features=SimpleNamespace(vectors={"text": vectors}))


class CheckerboardBehaviour:
    """Tests that hold for any personal baseline with recency; a test class inherits them and names `make`."""

    #: returns an unfitted baseline, small enough for a test
    make: Callable[[], Baseline]

    @pytest.fixture(scope="class")
    def fitted(self) -> Baseline:
        baseline = self.make()
        baseline.fit(checkerboard_data())
        return baseline

    def test_users_are_shown_the_items_of_their_kind_that_they_miss(self, fitted):
        train = checkerboard()
        ranked = rank_topk(fitted.scores(train)[:, :ITEMS], train, k=2)
        hits = [set(row) == set(range(user % 2, ITEMS, 2)) - set(train[user]) for user, row in enumerate(ranked)]
        assert np.mean(hits) > 0.9

    def test_a_user_who_was_not_trained_on_is_served(self, fitted):
        history = [np.array([1, 3])]
        assert (rank_topk(fitted.scores(history)[:, :ITEMS], history, k=4)[0] % 2 == 1).all()

    def test_recent_taste_outweighs_old_taste(self, fitted):
        turned = np.concatenate([np.arange(1, 12, 2), np.arange(0, 16, 2)])
        for history in (turned, turned[::-1]):
            scores = fitted.scores([history])[:, :ITEMS]
            assert rank_topk(scores, [history], 1)[0, 0] % 2 == history[-1] % 2

    def test_scores_are_finite_float32_and_do_not_depend_on_who_is_asked_beside(self, fitted):
        histories = [np.array([0, 2]), np.array([], dtype=np.int64), np.array([19])]
        together = fitted.scores(histories)
        assert together.shape == (3, ITEMS + 2) and together.dtype == np.float32 and np.isfinite(together).all()
        alone = np.concatenate([fitted.scores([history]) for history in histories])
        np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)

    def test_a_fit_can_be_repeated(self, fitted):
        again = self.make()
        again.fit(checkerboard_data())
        np.testing.assert_allclose(fitted.scores(checkerboard()), again.scores(checkerboard()), rtol=1e-4, atol=1e-5)


class ContentBehaviour(CheckerboardBehaviour):
    """Tests of baselines that learn from histories and content, from a seed."""

    def test_an_item_that_nobody_has_seen_is_known_by_its_content(self, fitted):
        even, odd = fitted.scores([np.arange(0, 8, 2), np.arange(1, 8, 2)])
        assert even[NEW_EVEN] > even[NEW_ODD] and odd[NEW_ODD] > odd[NEW_EVEN]

    def test_the_same_seed_gives_the_same_model_and_another_one_another(self):
        scores = []
        for seed in (0, 0, 1):
            baseline = self.make()
            baseline.fit(checkerboard_data(checkerboard(12), seed))
            scores.append(baseline.scores(checkerboard(4)))
        np.testing.assert_array_equal(scores[0], scores[1])
        assert not np.allclose(scores[0], scores[2])


CIRCLE_ITEMS = 12
QUICK_SCHEDULE = TrainingSchedule(length=10, places=64, epochs=15, learning_rate=1e-2, patience=15)


def circle_data(histories: list[np.ndarray] | None = None, **given) -> FitData:
    """The circle, with random content."""
    return FitData(histories or circle(CIRCLE_ITEMS), CIRCLE_ITEMS, random_content(CIRCLE_ITEMS), **given)


class NextItemBehaviour:
    """Tests that hold for any neural baseline of the next item; a test class inherits them and names `make`."""

    #: returns an unfitted baseline, small enough for a test; takes the schedule of its training
    make: Callable[..., NextItemBaseline]

    @pytest.fixture(scope="class")
    def fitted(self) -> NextItemBaseline:
        baseline = self.make()
        baseline.fit(circle_data())
        return baseline

    def test_the_next_item_of_a_circle_is_learnt(self, fitted):
        # neither these histories nor their lengths were trained on
        histories = [np.roll(np.arange(CIRCLE_ITEMS), -start)[:3] for start in range(CIRCLE_ITEMS)]
        first = rank_topk(fitted.scores(histories), histories, 1)[:, 0]
        assert (first == (np.arange(CIRCLE_ITEMS) + 3) % CIRCLE_ITEMS).mean() > 0.7

    def test_scores_are_finite_float32_whatever_the_history(self, fitted):
        histories = [np.array([], dtype=np.int64), np.array([3]), np.tile(np.arange(CIRCLE_ITEMS), 5)]
        scores = fitted.scores(histories)
        assert scores.shape == (3, CIRCLE_ITEMS) and scores.dtype == np.float32 and np.isfinite(scores).all()

    def test_what_stands_beside_a_history_does_not_change_its_scores(self, fitted):
        histories = [np.array([5]), np.arange(9), np.array([], dtype=np.int64), np.arange(4)]
        alone = np.concatenate([fitted.scores([history]) for history in histories])
        np.testing.assert_allclose(fitted.scores(histories), alone, rtol=1e-4, atol=1e-4)

    def test_only_the_last_items_that_fit_the_window_count(self, fitted):
        long = np.tile(np.arange(CIRCLE_ITEMS), 3)
        np.testing.assert_allclose(fitted.scores([long]), fitted.scores([long[-9:]]), rtol=1e-5)

    def test_the_seed_decides_the_scores_and_torch_is_left_as_it_was(self):
        torch.manual_seed(11)
        state, scores = torch.random.get_rng_state(), []
        for seed in (0, 0, 1):
            baseline = self.make(TrainingSchedule(length=10, places=128, epochs=2))
            baseline.fit(circle_data(seed=seed))
            scores.append(baseline.scores(circle()[:5]))
        np.testing.assert_array_equal(scores[0], scores[1])
        assert not np.allclose(scores[0], scores[2])
        assert torch.equal(state, torch.random.get_rng_state())
        assert not torch.are_deterministic_algorithms_enabled()
