"""Training with DeepSpeed's ZeRO 2: gradients and the optimiser's state are cut, weights are not.

Run with DeepSpeed 0.19.8 on two processes of a CPU, where the losses are those of one process; not measured on a GPU.

It steps once a part of a step is the last, and averages gradients, so losses are multiplied by the number of processes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from recommender.errors import ConfigError
from recommender.model import RecommenderModel
from recommender.training.gradients import Stepper
from recommender.training.processes import Processes

logger = logging.getLogger(__name__)
_STAGES = (1, 2)


class ZeroStepper(Stepper):
    """The gradients and the optimiser of one stage in DeepSpeed's engine."""

    def __init__(
        self, model: RecommenderModel, optimizer: torch.optim.Optimizer, processes: Processes, max_norm: float
    ) -> None:
        super().__init__(model, optimizer, processes)
        import deepspeed

        self.engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=settings(processes, max_norm))

    def loss(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        """Return what the forward pass of the model returns."""
        total, count = self.engine(*arguments)
        return total, count

    def backward(self, loss: Tensor, last: bool = True) -> None:
        """Add the gradients of a part of a step; `last`: it is the last part."""
        self.engine.set_gradient_accumulation_boundary(is_boundary=last)
        self.engine.backward(loss * self.processes.count)

    def step(self, max_norm: float, beside: Sequence[Tensor] = ()) -> None:
        """Take one step with the gradients of all processes, which are then gone; the engine cuts their norm."""
        self.engine.step()

    def state(self) -> dict[str, Any]:
        """Return nothing: each process holds a part of the state, which the engine does not give out as a whole."""
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Begin with new moments, also where there were some."""
        logger.warning("DeepSpeed goes on from the saved weights, with new moments of the optimiser")


def settings(processes: Processes, max_norm: float) -> dict[str, Any]:
    """Return DeepSpeed's configuration, from what `accelerate launch` was told. Raises ConfigError for other stages."""
    stage = int(os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") or 2)
    if stage not in _STAGES:
        raise ConfigError(
            f"zero_stage is {stage}, and DeepSpeed is used with 1 or 2 only",
            "to cut the base as well, launch with adapters/accelerate/fsdp2.yaml",
        )
    zero: dict[str, Any] = {"stage": stage}
    offload = os.environ.get("ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE") or "none"
    if offload != "none":
        zero["offload_optimizer"] = {"device": offload}
    return {
        "train_micro_batch_size_per_gpu": 1,  # rows are packed: the engine only wants a number
        "gradient_accumulation_steps": 1,  # parts of a step are told one by one
        "train_batch_size": processes.count,
        "gradient_clipping": max_norm,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
    }
