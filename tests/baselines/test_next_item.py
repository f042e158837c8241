"""The base of the neural baselines: the best epoch is kept, training stops, every position is scored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from recommender.baselines import FitData, losses, make_baseline
from recommender.baselines.losses import Loss
from recommender.baselines.next_item import NextItemBaseline, NextItemNetwork, TrainingSchedule
from recommender.errors import DataError
from tests.baselines.worlds import circle

ITEMS = 12


class LastItem(NextItemNetwork):
    """The state of a position is a learnt row of the item there, and says what comes after it."""

    def __init__(self, items: int) -> None:
        super().__init__()
        self.table = nn.Embedding(items + 1, 16)
        self.outputs = nn.Parameter(torch.randn(items, 16))

    def rows(self) -> Tensor:
        return self.outputs

    def forward(self, inputs: Tensor, rows: Tensor) -> Tensor:
        return self.table(inputs + 1)


class Markov(NextItemBaseline):
    """A baseline of this network."""

    def build(self, train: list[np.ndarray], data: FitData) -> tuple[NextItemNetwork, Loss]:
        self.train_histories = train
        return LastItem(data.items), losses.softmax


def fitted(schedule: TrainingSchedule | None = None, **given) -> Markov:
    baseline = Markov("markov", schedule or TrainingSchedule(length=6, places=32, epochs=8, learning_rate=3e-2))
    baseline.fit(FitData(circle(ITEMS), ITEMS, **given))
    return baseline


def test_a_chain_is_learnt_and_scored_for_any_history():
    baseline = fitted()
    scores = baseline.scores([np.array([item]) for item in range(ITEMS)] + [np.array([], dtype=np.int64)])
    assert scores.shape == (ITEMS + 1, ITEMS) and scores.dtype == np.float32
    assert (scores[:ITEMS].argmax(axis=1) == (np.arange(ITEMS) + 1) % ITEMS).mean() > 0.9


def test_the_network_never_learns_the_validation_target():
    baseline = fitted()
    assert [len(history) for history in baseline.train_histories] == [len(history) - 1 for history in circle(ITEMS)]


def test_scores_at_each_position_are_those_of_the_history_up_to_it():
    baseline = fitted()
    history = np.tile(np.arange(ITEMS), 2)
    by_position = baseline.scores_by_position(history)
    assert by_position.shape == (len(history), ITEMS)
    for place in (0, 1, 5, 6, 13, 23):
        np.testing.assert_allclose(by_position[place], baseline.scores([history[:place]])[0], rtol=1e-5)


def test_progress_names_the_baseline_its_validation_and_the_epoch():
    steps: list[tuple[str, int, int]] = []
    fitted(progress=lambda *step: steps.append(step))
    assert [done for _, done, _ in steps] == list(range(1, len(steps) + 1))
    assert all(what.startswith("fitting markov, validation ") and total == 8 for what, _, total in steps)


def test_the_number_of_epochs_can_be_set_by_name():
    assert make_baseline("bsarec-causal:epochs=2").epochs == 2
    steps: list[tuple[int, int]] = []
    baseline = Markov("markov", TrainingSchedule(length=6, places=32, epochs=8))
    baseline.epochs = 2
    baseline.fit(FitData(circle(ITEMS), ITEMS, progress=lambda _, done, total: steps.append((done, total))))
    assert steps == [(1, 2), (2, 2)]


def test_training_stops_after_epochs_without_a_better_validation():
    steps: list[tuple[str, int, int]] = []
    schedule = TrainingSchedule(length=6, places=32, epochs=50, learning_rate=0.0, patience=3)
    fitted(schedule, progress=lambda *step: steps.append(step))
    assert len(steps) == 4  # nothing is learnt: the first epoch is the best


def test_the_best_epoch_is_kept_and_not_the_last():
    values: list[float] = []
    schedule = TrainingSchedule(length=6, places=32, epochs=12, learning_rate=0.5, patience=12)
    baseline = fitted(schedule, progress=lambda what, *_: values.append(float(what.split()[-1])))
    inputs, targets = [h[:-1] for h in circle(ITEMS)], [h[-1] for h in circle(ITEMS)]
    scores = baseline.scores(inputs)
    gains = []
    for row, history, target in zip(scores, inputs, targets, strict=True):
        row[history] = -np.inf
        rank = int((row >= row[target]).sum())
        gains.append(1 / np.log2(rank + 1) if rank <= 10 else 0.0)
    assert np.mean(gains) == pytest.approx(max(values), abs=1e-3)


def test_histories_without_a_validation_target_are_refused():
    with pytest.raises(DataError, match="markov needs a history of two items or more"):
        Markov("markov").fit(FitData([np.array([1]), np.array([2])], ITEMS))
