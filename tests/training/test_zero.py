"""DeepSpeed is no part of an installation: an engine with its calls stands in, and what it is told is checked.

`tests/cli/test_launching.py` trains with DeepSpeed itself where it is installed.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from recommender.errors import ConfigError
from recommender.training.distributing import stepper_of
from recommender.training.processes import Processes, join
from recommender.training.zero import settings


class Engine:
    def __init__(self, model, optimizer):
        self.model, self.optimizer, self.boundaries, self.steps = model, optimizer, [], 0

    def __call__(self, *arguments):
        return self.model(*arguments)

    def set_gradient_accumulation_boundary(self, is_boundary):
        self.boundaries.append(is_boundary)

    def backward(self, loss):
        (loss / 2).backward()  # it averages over two processes

    def step(self):
        self.steps += 1
        self.optimizer.step()


@pytest.fixture
def deepspeed(monkeypatch):
    """Put a module in the place of DeepSpeed, in a process of two; returns the configurations that it was given."""
    given = []

    def initialize(model, optimizer, config):
        given.append(config)
        return Engine(model, optimizer), optimizer, None, None

    monkeypatch.setitem(sys.modules, "deepspeed", SimpleNamespace(initialize=initialize))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setattr(Processes, "copy_weights", lambda *_: None)
    return given


def test_gradients_are_added_and_a_step_is_taken_with_the_last_part(deepspeed):
    model = torch.nn.Linear(3, 1, bias=False)
    before = model.weight.detach().clone()
    stepper = stepper_of(model, torch.optim.SGD(model.parameters(), lr=0.1), Processes(0, 2), 0.7)
    inputs = torch.eye(3)[:2]
    for number, row in enumerate(inputs):
        stepper.backward(stepper.model(row).sum(), last=number == 1)
    assert stepper.engine.boundaries == [False, True]
    stepper.step(0.7)
    torch.testing.assert_close(model.weight, before - 0.1 * inputs.sum(0))
    (told,) = deepspeed
    assert told["gradient_clipping"] == 0.7 and told["zero_optimization"] == {"stage": 2}
    assert told["train_batch_size"] == 2 * told["train_micro_batch_size_per_gpu"]


def test_other_stages_and_no_deepspeed_are_one_clear_line_each(monkeypatch):
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    with pytest.raises(ConfigError, match="zero_stage is 3, and DeepSpeed is used with 1 or 2 only"):
        settings(Processes(0, 2), 1.0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(ConfigError, match="DeepSpeed, which is not installed"):
        join("cpu")
