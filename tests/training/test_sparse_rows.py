"""Rows that are changed few at a time: which of them, by how much, and again after a kill."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recommender.config import StageConfig
from recommender.data.histories import Histories, leave_one_out
from recommender.errors import RecommenderError
from recommender.model.row_window import RowWindow
from recommender.training import TrainingData, run_stages
from recommender.training.run_state import trainable
from recommender.training.sparse_rows import BETA, SparseRows, sparse_rows

STAGE = {
    "stage": "rank",
    "epochs": 2,
    "batch_tokens": 128,
    "row_tokens": 64,
    "learning_rate": 0.003,
    "evaluate_epochs": 2,
    "weight_decay": 0.0,
}


def window_with(rows: nn.Parameter, codes: list[int], gradients: torch.Tensor) -> RowWindow:
    window = RowWindow.of(rows, torch.tensor(codes))
    window.rows.grad = gradients
    return window


def test_a_large_gradient_behind_small_ones_is_no_leap():
    rows = nn.Parameter(torch.zeros(1, 4))
    optimiser = SparseRows(rows)
    for size in (1e-3,) * 20 + (1.0,):
        before = rows.detach().clone()
        optimiser.step(window_with(rows, [0], torch.full((1, 4), size)), 0.1)
    torch.testing.assert_close(before - rows, torch.full((1, 4), 0.1))


def test_each_row_moves_by_its_own_history():
    rows = nn.Parameter(torch.ones(5, 4))
    optimiser = SparseRows(rows, weight_decay=0.5)
    first, second = torch.tensor([[1.0, -1, 1, 1], [0, 0, 0, 0]]), torch.tensor([[2.0, 0, 0, 0], [0.1] * 4])
    optimiser.step(window_with(rows, [1, 3], first), 0.1)
    torch.testing.assert_close(rows[1], 0.95 - 0.1 * first[0])  # a first step has the size of the learning rate
    assert torch.equal(rows[[0, 2, 3, 4]], torch.ones(4, 4))  # no gradient, no decay
    before = rows[1].detach().clone()
    optimiser.step(window_with(rows, [1, 4], second), 0.1)
    torch.testing.assert_close(rows[1], before * 0.95 - 0.1 * second[0])  # both mean squares are 1
    mean = (BETA * (1 - BETA) + (1 - BETA) * (1 + 0.01) / 2) / (1 - BETA**2)  # of all rows of both steps
    torch.testing.assert_close(rows[4], torch.full((4,), 0.95 - 0.1 * 0.1 / mean**0.5))  # small gradient, small step


@pytest.fixture
def data_of(histories):
    split = leave_one_out(Histories(tuple(map(str, range(len(histories)))), tuple(histories)))
    return lambda checkpoint: TrainingData(checkpoint.builder, split)


def run(make_checkpoint, config, data_of, output, progress=None):
    keys = {"training.stages": [STAGE], "training.softmax": "sampled", "training.negatives": 12}
    checkpoint = make_checkpoint(1, config.updated(keys | {"training.checkpoint_minutes": 1e-6}))
    run_stages(checkpoint.model, data_of(checkpoint), checkpoint.config, output, progress)
    return checkpoint


def test_a_killed_run_ends_the_same(make_checkpoint, config, data_of, tmp_path):
    whole = run(make_checkpoint, config, data_of, tmp_path / "whole")

    def kill(what, done, total):
        if done == total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(make_checkpoint, config, data_of, tmp_path / "killed", kill)
    resumed = run(make_checkpoint, config, data_of, tmp_path / "killed")
    for (name, a), b in zip(trainable(whole.model).items(), trainable(resumed.model).values(), strict=True):
        assert torch.equal(a, b), name
    untrained = make_checkpoint(1, whole.config)
    assert not torch.equal(whole.model.rows, untrained.model.rows)


def test_several_processes_are_refused_with_what_to_do(make_checkpoint, config, data_of):
    checkpoint = make_checkpoint(1, config.updated({"training.softmax": "sampled"}))
    with pytest.raises(RecommenderError, match="one process") as raised:
        sparse_rows(checkpoint.model, data_of(checkpoint), StageConfig(stage="rank"), 2)
    assert "chunked" in str(raised.value.hint)
    assert sparse_rows(checkpoint.model, data_of(checkpoint), StageConfig(stage="explain"), 2) is None
