"""LightGCN: the graph is normalised as in the paper, and content reaches items that nobody has seen."""

from __future__ import annotations

import numpy as np

from recommender.baselines.history_contexts import TrainingPlan
from recommender.baselines.lightgcn import LightGcn, normalised_graph
from tests.baselines.worlds import ContentBehaviour, checkerboard, checkerboard_data


class TestLightGcn(ContentBehaviour):
    @staticmethod
    def make() -> LightGcn:
        return LightGcn(width=8, plan=TrainingPlan(epochs=20, learning_rate=3e-2, batch=64))


def test_the_graph_divides_by_the_roots_of_both_degrees():
    graph = normalised_graph([np.array([0, 1]), np.array([1]), np.array([], dtype=np.int64)], 3).toarray()
    np.testing.assert_allclose(graph, [[1 / 2**0.5, 1 / 2, 0], [0, 1 / 2**0.5, 0], [0, 0, 0]], rtol=1e-6)


def test_an_item_that_is_seen_twice_is_one_edge():
    twice, once = (normalised_graph([np.array(items)], 2).toarray() for items in ([0, 1, 0], [0, 1]))
    np.testing.assert_array_equal(twice, once)


def test_the_number_of_layers_changes_the_model():
    scores = []
    for layers in (1, 2):
        baseline = LightGcn(width=8, layers=layers, plan=TrainingPlan(epochs=2, learning_rate=3e-2, batch=64))
        baseline.fit(checkerboard_data())
        scores.append(baseline.scores(checkerboard(4)))
    assert not np.allclose(*scores)
