"""Several processes share the work of one: the losses, the validations and the weights are those of one process."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Callable

import numpy as np
import pytest
import torch

from recommender.data.histories import Histories, leave_one_out
from recommender.model import RecommenderModel
from recommender.training import TrainingData, loop, run_stages
from recommender.training import gradients as stepping_gradients
from recommender.training.loop import STATE
from recommender.training.processes import join
from recommender.training.run_state import trainable
from tests.training.several import in_processes

NO_DROPOUT = {"modality_dropout": 0.0, "row_dropout": 0.0}
STAGES = [
    {"stage": "rank", "epochs": 5, "batch_tokens": 192, "row_tokens": 64, "learning_rate": 3e-4} | NO_DROPOUT,
    {"stage": "explain", "max_steps": 3, "batch_tokens": 192, "row_tokens": 64} | NO_DROPOUT,
]


@pytest.fixture
def train(make_checkpoint, config, histories, tmp_path):
    """Return what trains the tiny world into a folder, and returns weights and log."""
    split = leave_one_out(Histories(tuple(map(str, range(len(histories)))), tuple(histories)))

    def run(folder: str, progress=None, stages=STAGES, **changes):
        settings = config.updated({"training.stages": stages, "lora.lora_dropout": 0.0} | changes)
        checkpoint = make_checkpoint(1, settings)
        pairs = [(f'Recommended: "film {i}".', '"film" is a good comedy.') for i in range(40)]
        data = TrainingData(checkpoint.builder, split, pairs)
        run_stages(checkpoint.model, data, settings, tmp_path / folder, progress)
        return {name: value.numpy() for name, value in trainable(checkpoint.model).items()}

    return run


def log_of(folder) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "log.csv").open()))


def assert_close(weights, others):
    """Adam divides by the size of a gradient: where that is nearly zero, rounding decides a whole step, of few weights."""
    close = np.concatenate([np.isclose(v, others[name], atol=1e-4).ravel() for name, v in weights.items()])
    assert close.mean() > 0.99


def counting(read: list[int], run: Callable[[], object]) -> object:
    """Run with a note of the labels that each forward pass in training learns from."""
    forward = RecommenderModel.forward

    def counted(self, batch, *arguments, **options):
        if self.training:
            read.append(int((batch.labels >= 0).sum()))
        return forward(self, batch, *arguments, **options)

    RecommenderModel.forward = counted
    try:
        return run()
    finally:
        RecommenderModel.forward = forward


def test_two_processes_share_what_one_does_and_learn_the_same(train, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    gradients: list[np.ndarray] = []
    clip = stepping_gradients.clip_gradients

    def noted(found, *arguments):
        gradients.append(np.concatenate([gradient.numpy().ravel() for gradient in found]))
        return clip(found, *arguments)

    monkeypatch.setattr(stepping_gradients, "clip_gradients", noted)
    alone: list[int] = []
    expected = counting(alone, lambda: train("one"))
    gradient = gradients[0]
    gradients.clear()

    def work(rank: int):
        read: list[int] = []
        told: list[str] = []
        weights = counting(read, lambda: train("two", lambda what, *_: told.append(what)))
        return weights, sum(read), bool(told), gradients[0]

    (first, read, told, found), (second, also_read, also_told, _) = in_processes(2, work)
    np.testing.assert_allclose(found, gradient, atol=1e-5 * np.abs(gradient).max())
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert_close(first, expected)
    assert read + also_read == sum(alone)  # every label once, by one of them
    assert 0.3 < read / sum(alone) < 0.7
    assert told and not also_told
    one, two = log_of(tmp_path / "one"), log_of(tmp_path / "two")
    assert [row["step"] for row in one] == [row["step"] for row in two]
    for column in ("loss", "validation"):
        values = [[float(row[column]) for row in rows if row[column]] for rows in (one, two)]
        assert len(values[0]) > 2
        assert column == "validation" or values[0][0] == pytest.approx(values[1][0], abs=2e-5)
        # later, rounding decides where Adam divides by nearly nothing
        np.testing.assert_allclose(*values, rtol=5e-3, atol=0.05 * (column == "validation"))


def test_a_stopped_run_goes_on_in_two_processes_and_in_one(train, tmp_path):
    rank_only = STAGES[:1]

    def stop(what: str, done: int, total: int) -> None:
        if done == total // 2:  # of the two processes one hears it
            os.kill(os.getpid(), signal.SIGTERM)

    whole, _ = in_processes(2, lambda rank: train("whole", stages=rank_only))
    for folder in ("again", "alone"):
        assert in_processes(2, lambda rank, to=folder: train(to, stop, rank_only)) == ["stopped", "stopped"]
        assert (tmp_path / folder / STATE).is_file()
    steps: list[int] = []
    resumed, _ = in_processes(2, lambda rank: train("again", stages=rank_only))
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)
    assert_close(train("alone", lambda what, done, total: steps.append(done), rank_only), whole)
    assert steps[0] > 1
    logs = [log_of(tmp_path / name) for name in ("whole", "again", "alone")]
    assert len({len(rows) for rows in logs}) == 1


def test_more_processes_than_rows_of_a_batch(train):
    stages = [STAGES[0] | {"batch_tokens": 64, "max_steps": 4}]
    expected = train("one", stages=stages)
    for weights in in_processes(2, lambda rank: train("two", stages=stages)):
        assert_close(weights, expected)


def test_gradients_are_added_wherever_they_are(tmp_path):
    """A parameter that one process alone has used, one that none has, and one that has a message of its own."""
    sizes = {"both": (3,), "one": (2, 2), "none": (4,), "large": (1 << 20, 2)}

    def work(rank: int):
        processes = join("cpu")
        parameters = {name: torch.nn.Parameter(torch.ones(size)) for name, size in sizes.items()}
        parameters["both"].grad = torch.full((3,), 1.0 + rank)
        parameters["large"].grad = torch.full(sizes["large"], 2.0 + rank)
        if rank:
            parameters["one"].grad = torch.ones(2, 2)
        processes.add_gradients(list(parameters.values()))
        assert processes.joined([rank + 0.5] * (2 - rank), 3) == [0.5, 1.5, 0.5]
        return {name: None if p.grad is None else p.grad.numpy() for name, p in parameters.items()}

    for added in in_processes(2, work):
        assert added["none"] is None
        assert added["both"].tolist() == [3.0] * 3 and added["one"].tolist() == [[1.0, 1.0]] * 2
        assert (added["large"] == 5.0).all()
