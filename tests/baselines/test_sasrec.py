"""SASRec and its descendants: each loss learns a circle, and no state sees what comes later."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recommender.baselines import FitData
from recommender.baselines.next_item import TrainingSchedule
from recommender.baselines.sasrec import ItemTransformer, SasRec, dropout_for, recency_bias
from recommender.errors import DataError
from tests.baselines.worlds import CIRCLE_ITEMS, QUICK_SCHEDULE, NextItemBehaviour, circle, circle_data

SMALL = {"width": 16, "layers": 1, "heads": 2, "dropout": 0.0, "negatives": 8}


class TestSoftmax(NextItemBehaviour):
    @staticmethod
    def make(schedule: TrainingSchedule = QUICK_SCHEDULE) -> SasRec:
        return SasRec("sasrec", "softmax", schedule=schedule, **SMALL)


class TestBinary(NextItemBehaviour):
    @staticmethod
    def make(schedule: TrainingSchedule = QUICK_SCHEDULE) -> SasRec:
        return SasRec("sasrec-bce", "binary", schedule=schedule, **SMALL)


class TestSampled(NextItemBehaviour):
    @staticmethod
    def make(schedule: TrainingSchedule = QUICK_SCHEDULE) -> SasRec:
        return SasRec("sasrec-sampled", "sampled", schedule=schedule, **SMALL)


class TestGeneralisedBinary(NextItemBehaviour):
    @staticmethod
    def make(schedule: TrainingSchedule = QUICK_SCHEDULE) -> SasRec:
        return SasRec("gsasrec", "gbce", schedule=schedule, **SMALL)


class TestVectors(NextItemBehaviour):
    @staticmethod
    def make(schedule: TrainingSchedule = QUICK_SCHEDULE) -> SasRec:
        return SasRec("sasrec-vectors", vectors=True, schedule=schedule, **SMALL)


def test_the_held_out_item_is_not_learnt():
    """Item 11 is the last one of every history and stands nowhere else: only its own initial row tells of it."""
    others = CIRCLE_ITEMS - 1
    histories = [np.append(np.roll(np.arange(others), -start)[:8], others) for start in range(others)] * 4
    baseline = TestSoftmax.make()
    baseline.fit(circle_data(histories))
    scores = baseline.scores([history[:-1] for history in histories])
    assert (scores[:, others] < scores[:, :others].max(1)).all()


def test_vectors_that_are_missing_are_named():
    with pytest.raises(DataError, match="sasrec-vectors needs the items' content"):
        TestVectors.make().fit(FitData(circle(), CIRCLE_ITEMS))


def test_a_state_does_not_see_what_comes_later():
    torch.manual_seed(0)
    network = ItemTransformer(torch.randn(CIRCLE_ITEMS, 16), 10, 2, 2, 0.0).eval()
    inputs, changed_later = torch.tensor([[-1, 3, 5, 7, 1]]), torch.tensor([[-1, 3, 5, 2, 9]])
    states, other = (network(given, network.rows()) for given in (inputs, changed_later))
    torch.testing.assert_close(states[:, :3], other[:, :3])
    assert not torch.allclose(states[:, 3:], other[:, 3:], atol=1e-3)


def test_attention_falls_with_distance_and_never_looks_ahead():
    bias = recency_bias(5, 4)
    assert bias.shape == (4, 5, 5)
    assert torch.isinf(bias[:, 0, 1:]).all() and (bias.diagonal(dim1=1, dim2=2) == 0).all()
    assert bias[0, 4].tolist() == pytest.approx([-2.0, -1.5, -1.0, -0.5, 0.0])
    assert (bias[0, 4, 0] < bias[1, 4, 0]) and bias[3, 4, 0] == pytest.approx(-4 / 128)


def test_short_histories_are_trained_with_more_dropout():
    assert dropout_for([np.arange(6)] * 5) == 0.5
    assert dropout_for([np.arange(100)] * 5) == 0.2
    assert dropout_for([np.arange(20)]) == 0.2
