"""Backward passes and optimiser steps, on one process or on several that each hold the whole model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from recommender.errors import ConfigError
from recommender.model import RecommenderModel
from recommender.training import run_state
from recommender.training.processes import Processes


class Stepper:
    """The gradients and the optimiser of one stage.

    The loss of a process is its share of the mean over all labels of a step, so gradients are added, not averaged.
    """

    def __init__(self, model: RecommenderModel, optimizer: torch.optim.Optimizer, processes: Processes) -> None:
        self.model, self.optimizer, self.processes = model, optimizer, processes
        self.parameters: list[nn.Parameter] = [p for group in optimizer.param_groups for p in group["params"]]
        processes.copy_weights([p for p in self.parameters if not run_state.is_part(p)])

    def schedule(self, share: float) -> None:
        """Take the next step with this share of the highest learning rates; those of `optimizer` are set already."""

    def loss(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        """Return what the forward pass of the model returns."""
        total, count = self.model(*arguments)
        return total, count

    def backward(self, loss: Tensor, last: bool = True) -> None:
        """Add the gradients of a part of a step; `last`: it is the last part."""
        loss.backward()

    def step(self, max_norm: float, beside: Sequence[Tensor] = ()) -> None:
        """Take one step with the gradients of all processes, which are then gone.

        `beside`: other gradients, the same in all processes, whose norm counts too and which are cut along, in place.
        """
        self.processes.add_gradients(self.parameters)
        clip_gradients([*(p.grad for p in self.parameters if p.grad is not None), *beside], max_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def readable(self) -> AbstractContextManager[None]:
        """Within the block all that ranks can be read as it is."""
        return nullcontext()

    def weights(self) -> dict[str, Tensor]:
        """Return copies of all that any stage may train; all processes must ask."""
        return run_state.trainable(self.model)

    def state(self) -> dict[str, Any]:
        """Return the optimiser's state as one process has it; all processes must ask."""
        return self.optimizer.state_dict()

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned, perhaps on another number of processes."""
        self.optimizer.load_state_dict(dict(state))


def clip_gradients(gradients: Sequence[Tensor], max_norm: float) -> None:
    """Scale gradients in place so that their norm, taken together, is at most `max_norm`; as `clip_grad_norm_` does."""
    norm = torch.nn.utils.get_total_norm(gradients)
    share = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(share.to(gradient.device))


def checkpoint_gradients(model: RecommenderModel, wanted: bool) -> None:
    """Let the layers of the base keep what enters them only, and compute the rest again in the backward pass, or not.

    Raises ConfigError if the base cannot.
    """
    if not wanted:
        return
    try:
        model.llm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    except ValueError:
        name = type(model.llm).__name__
        raise ConfigError(
            f"training.gradient_checkpointing: {name} has no layers that could do so",
            "raise training.gradient_accumulation instead",
        ) from None
