"""How a model is laid out over the processes of a training, as `accelerate launch` was asked: whole, or cut.

What cuts is imported only where it is asked for: it takes seconds.
"""

from __future__ import annotations

import torch

from recommender.model import RecommenderModel
from recommender.model.devices import is_sharded, uses_deepspeed
from recommender.training import run_state
from recommender.training.gradients import Stepper
from recommender.training.processes import Processes


def distribute(model: RecommenderModel, processes: Processes) -> None:
    """Lay a model out over the processes, once before its first stage."""
    if is_sharded():
        from recommender.training.sharded import shard

        shard(model, processes)
    else:
        model.move_to(processes.device)


def stepper_of(
    model: RecommenderModel, optimizer: torch.optim.Optimizer, processes: Processes, max_norm: float
) -> Stepper:
    """Return what steps the optimiser of a stage; `max_norm`: of its gradients."""
    if is_sharded():
        from recommender.training.sharded import ShardedStepper

        return ShardedStepper(model, optimizer, processes)
    if uses_deepspeed():
        from recommender.training.zero import ZeroStepper

        return ZeroStepper(model, optimizer, processes, max_norm)
    return Stepper(model, optimizer, processes)


def gather(model: RecommenderModel) -> None:
    """Make what was trained whole in every process, so that it can be saved; a base that was cut stays so."""
    if is_sharded():
        from recommender.training.sharded import put_back

        put_back(model, run_state.trainable(model))
