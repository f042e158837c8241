"""Less memory for the same gradients: parts of a step, layers that are computed again; and work that is done ahead."""

from __future__ import annotations

import threading

import pytest
import torch

from recommender.errors import ConfigError
from recommender.model import RecommenderModel
from recommender.prompting.packing import collate
from recommender.training.ahead import Ahead
from recommender.training.gradients import checkpoint_gradients
from tests.training.test_processes import STAGES, assert_close, train

__all__ = ["train"]


def test_a_step_in_parts_is_the_step_of_the_whole_batch(train, monkeypatch):
    rows: list[int] = []
    forward = RecommenderModel.forward

    def noted(self, batch, *arguments, **options):
        if self.training:
            rows.append(len(batch.tokens))
        return forward(self, batch, *arguments, **options)

    monkeypatch.setattr(RecommenderModel, "forward", noted)
    stages = [STAGES[0] | {"max_steps": 4}]
    whole = train("whole", stages=stages)
    assert max(rows) == 3
    rows.clear()
    parts = train("parts", stages=stages, **{"training.gradient_accumulation": 3})
    assert max(rows) == 1
    assert_close(parts, whole)


def test_layers_that_are_computed_again_give_the_same_gradients_and_keep_less(make_checkpoint):
    checkpoint = make_checkpoint()
    model, builder = checkpoint.model.train(), checkpoint.builder
    batch = collate([[builder.ranking([3, 1, 4, 5, 9, 2])], [builder.ranking([7, 8, 2])]], builder.prefix)

    def learned() -> tuple[int, dict[str, torch.Tensor]]:
        kept: dict[int, int] = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            kept[tensor.data_ptr()] = tensor.numel()
            return tensor

        torch.manual_seed(0)
        model.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            total, _ = model(batch, 0.1, 0.1)
        total.backward()
        return sum(kept.values()), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    before, expected = learned()
    checkpoint_gradients(model, True)
    after, found = learned()
    assert after < 0.6 * before
    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, msg=name)


def test_a_base_without_such_layers_is_one_clear_line(make_checkpoint, monkeypatch):
    model = make_checkpoint().model
    monkeypatch.setattr(type(model.llm), "supports_gradient_checkpointing", False)
    with pytest.raises(ConfigError, match="LlamaForCausalLM has no layers that could do so"):
        checkpoint_gradients(model, True)


def test_the_next_step_is_made_while_one_is_taken_and_errors_come_where_they_belong():
    made, begun = [], {step: threading.Event() for step in range(9)}

    def make(step: int) -> int:
        begun[step].set()
        made.append(step)
        if step == 5:
            raise ValueError("the fifth")
        return step * 10

    ahead = Ahead(make)
    assert ahead.take(3) == 30
    assert begun[4].wait(5) and not begun[5].is_set()
    assert ahead.take(4) == 40
    with pytest.raises(ValueError, match="the fifth"):
        ahead.take(5)
    assert Ahead(make).take(7, last=True) == 70 and not begun[8].is_set()
    assert made == [3, 4, 5, 7]
