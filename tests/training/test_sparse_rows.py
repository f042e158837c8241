"""Rows that are changed few at a time: which of them, by how much, and again after a kill."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import torch
from torch import nn

from recommender.config import StageConfig
from recommender.data.histories import Histories, leave_one_out
from recommender.errors import RecommenderError
from recommender.training import TrainingData, loop, run_stages, sparse_rows
from recommender.training import gradients as stepping_gradients
from recommender.training.processes import join
from recommender.training.run_state import trainable
from recommender.training.sparse_rows import BETA, SparseRows, merged
from tests.training.several import in_processes
from tests.training.test_processes import assert_close, log_of

STAGE = {
    "stage": "rank",
    "epochs": 2,
    "batch_tokens": 128,
    "row_tokens": 64,
    "learning_rate": 0.003,
    "evaluate_epochs": 2,
    "weight_decay": 0.0,
}


def test_a_large_gradient_behind_small_ones_is_no_leap():
    rows = nn.Parameter(torch.zeros(1, 4))
    optimiser = SparseRows(rows)
    for size in (1e-3,) * 20 + (1.0,):
        before = rows.detach().clone()
        optimiser.step(torch.tensor([0]), torch.full((1, 4), size), 0.1)
    torch.testing.assert_close(before - rows, torch.full((1, 4), 0.1))


def test_each_row_moves_by_its_own_history():
    rows = nn.Parameter(torch.ones(5, 4))
    optimiser = SparseRows(rows, weight_decay=0.5)
    first, second = torch.tensor([[1.0, -1, 1, 1], [0, 0, 0, 0]]), torch.tensor([[2.0, 0, 0, 0], [0.1] * 4])
    optimiser.step(torch.tensor([1, 3]), first, 0.1)
    torch.testing.assert_close(rows[1], 0.95 - 0.1 * first[0])  # a first step has the size of the learning rate
    assert torch.equal(rows[[0, 2, 3, 4]], torch.ones(4, 4))  # no gradient, no decay
    before = rows[1].detach().clone()
    optimiser.step(torch.tensor([1, 4]), second, 0.1)
    torch.testing.assert_close(rows[1], before * 0.95 - 0.1 * second[0])  # both mean squares are 1
    mean = (BETA * (1 - BETA) + (1 - BETA) * (1 + 0.01) / 2) / (1 - BETA**2)  # of all rows of both steps
    torch.testing.assert_close(rows[4], torch.full((4,), 0.95 - 0.1 * 0.1 / mean**0.5))  # small gradient, small step


def test_parts_of_a_step_are_added_up_row_by_row():
    first = torch.tensor([1, 4, 5]), torch.tensor([[1.0, 2], [3, 4], [5, 6]])
    second = torch.tensor([0, 4]), torch.tensor([[7.0, 8], [10, 20]])
    nothing = torch.zeros(0, dtype=torch.long), torch.zeros(0, 2)
    codes, gradients = merged([first, nothing, second])
    assert codes.tolist() == [0, 1, 4, 5]
    assert gradients.tolist() == [[7, 8], [1, 2], [13, 24], [5, 6]]
    assert merged([first])[1] is first[1]


@pytest.fixture
def data_of(histories):
    split = leave_one_out(Histories(tuple(map(str, range(len(histories)))), tuple(histories)))
    return lambda checkpoint: TrainingData(checkpoint.builder, split)


@pytest.fixture
def train(make_checkpoint, config, data_of, tmp_path):
    """Return what trains the tiny world into a folder, with a sampled softmax, and returns weights and log."""

    def run(folder: str, progress=None, stage=STAGE, **changes):
        keys = {"training.stages": [stage], "training.softmax": "sampled", "training.negatives": 12}
        checkpoint = make_checkpoint(1, config.updated(keys | {"training.checkpoint_minutes": 1e-6} | changes))
        run_stages(checkpoint.model, data_of(checkpoint), checkpoint.config, tmp_path / folder, progress)
        return {name: value.numpy() for name, value in trainable(checkpoint.model).items()}

    return run


def test_a_killed_run_ends_the_same(train, make_checkpoint):
    whole = train("whole")

    def kill(what, done, total):
        if done == total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("killed", kill)
    resumed = train("killed")
    assert all(np.array_equal(values, resumed[name]) for name, values in whole.items())
    assert not np.array_equal(whole["rows"], make_checkpoint(1).model.rows.detach().numpy())


@pytest.mark.parametrize("accumulated", [1, 2])
def test_two_processes_learn_what_one_does_in_twice_as_many_parts(train, tmp_path, monkeypatch, accumulated):
    """The same negatives and the same dropout, for both depend on the part of a step and not on who computes it."""
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    gradients: list[np.ndarray] = []
    clip = stepping_gradients.clip_gradients

    def noted(found, *arguments):
        gradients.append(found[-1].numpy().copy())
        return clip(found, *arguments)

    monkeypatch.setattr(stepping_gradients, "clip_gradients", noted)
    key = "training.gradient_accumulation"
    stage = STAGE | {"batch_tokens": 192, "epochs": 4, "learning_rate": 3e-4, "max_grad_norm": 0.1}
    expected = train("one", stage=stage, **{key: 2 * accumulated})
    gradient = gradients[0]
    gradients.clear()

    def work(rank: int):
        weights = train("two", stage=stage, **{key: accumulated})
        return weights, gradients[0]

    (first, found), (second, also_found) = in_processes(2, work)
    assert np.array_equal(found, also_found)
    np.testing.assert_allclose(found, gradient, atol=1e-5 * np.abs(gradient).max())
    assert all(np.array_equal(values, second[name]) for name, values in first.items())
    assert_close(first, expected)
    one, two = log_of(tmp_path / "one"), log_of(tmp_path / "two")
    for column in ("loss", "validation"):
        values = [[float(row[column]) for row in rows if row[column]] for rows in (one, two)]
        assert column == "validation" or (len(values[0]) > 2 and values[0][0] == pytest.approx(values[1][0], abs=2e-5))
        np.testing.assert_allclose(*values, rtol=5e-3, atol=0.05 * (column == "validation"))


def test_a_stopped_run_goes_on_in_two_processes_and_in_one(train, tmp_path):
    def stop(what: str, done: int, total: int) -> None:
        if done == total // 2:
            os.kill(os.getpid(), signal.SIGTERM)

    whole, _ = in_processes(2, lambda rank: train("whole"))
    for folder in ("again", "alone"):
        assert in_processes(2, lambda rank, to=folder: train(to, stop)) == ["stopped", "stopped"]
    resumed, also_resumed = in_processes(2, lambda rank: train("again"))
    assert all(np.array_equal(values, resumed[name]) for name, values in whole.items())
    assert all(np.array_equal(values, also_resumed[name]) for name, values in whole.items())
    steps: list[int] = []
    in_parts = {"training.gradient_accumulation": 2}
    assert_close(train("alone", lambda what, done, total: steps.append(done), **in_parts), whole)
    assert steps[0] > 1


def test_parts_of_different_lengths_reach_all_processes():
    def work(rank: int):
        processes = join("cpu")
        told = processes.parts_of_all(torch.arange(3 * rank).reshape(-1, 3) + rank)
        none = processes.parts_of_all(torch.zeros(0, 2))
        return [part.tolist() for part in told], [tuple(part.shape) for part in none]

    for told, none in in_processes(3, work):
        assert told == [[], [[1, 2, 3]], [[2, 3, 4], [5, 6, 7]]]
        assert none == [(0, 2)] * 3


@pytest.mark.slow
def test_a_base_that_is_cut_learns_the_same_rows(train):
    stage = STAGE | {"batch_tokens": 192, "epochs": 4, "learning_rate": 3e-4, "max_grad_norm": 0.1}
    still = {"lora.lora_dropout": 0.0}  # in parts of the weights it is drawn otherwise
    expected = train("one", stage=stage, **still, **{"training.gradient_accumulation": 2})
    fsdp = {"ACCELERATE_USE_FSDP": "true"}

    def stop(what: str, done: int, total: int) -> None:
        if done == total // 2:
            os.kill(os.getpid(), signal.SIGTERM)

    first, second = in_processes(2, lambda rank: train("two", stage=stage, **still), **fsdp)
    assert all(np.array_equal(values, second[name]) for name, values in first.items())
    assert_close(first, expected)
    assert in_processes(2, lambda rank: train("again", stop, stage, **still), **fsdp) == ["stopped", "stopped"]
    resumed, _ = in_processes(2, lambda rank: train("again", stage=stage, **still), **fsdp)
    assert all(np.array_equal(values, resumed[name]) for name, values in first.items())


def test_the_engine_of_deepspeed_is_refused_with_what_to_do(make_checkpoint, config, data_of, monkeypatch):
    checkpoint = make_checkpoint(1, config.updated({"training.softmax": "sampled"}))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(RecommenderError, match="DeepSpeed") as raised:
        sparse_rows.sparse_rows(checkpoint.model, data_of(checkpoint), StageConfig(stage="rank"))
    assert "ddp.yaml" in str(raised.value.hint) and "chunked" in str(raised.value.hint)
    assert sparse_rows.sparse_rows(checkpoint.model, data_of(checkpoint), StageConfig(stage="explain")) is None
