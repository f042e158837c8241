"""LightFM: ids and words of an item add up, and both are learnt."""

from __future__ import annotations

import numpy as np

from recommender.baselines.history_contexts import TrainingPlan
from recommender.baselines.lightfm import LightFm, item_features
from tests.baselines.worlds import ContentBehaviour


class TestLightFm(ContentBehaviour):
    @staticmethod
    def make() -> LightFm:
        return LightFm(width=8, plan=TrainingPlan(epochs=30, learning_rate=2e-2, batch=64))


def test_features_are_the_item_itself_and_the_words_that_others_have_too():
    features = item_features(["red river", "red night", "stone"]).toarray()
    np.testing.assert_array_equal(features, [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 0]])


def test_items_without_words_are_known_by_their_id_alone():
    np.testing.assert_array_equal(item_features(["", "!"]).toarray(), np.eye(2))


def test_a_repeated_word_counts_once():
    assert item_features(["red red", "red"]).toarray().tolist() == [[1, 0, 1], [0, 1, 1]]
