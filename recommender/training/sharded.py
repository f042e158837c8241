"""Training with FSDP 2: each process holds a part of every weight, and the whole of a layer only while it computes it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor

from recommender.model import RecommenderModel
from recommender.training.gradients import Stepper
from recommender.training.processes import Processes
from recommender.training.run_state import as_part


def shard(model: RecommenderModel, processes: Processes) -> None:
    """Cut the weights of a model, layer by layer, and move each part to the device of its process.

    What is no floating-point number (a base in 4 bits) and what is a single number stays whole; so do token rows of which
    a step looks at few, for a cut table would be joined at each step.
    """
    mesh = init_device_mesh(processes.device.type, (processes.count,))
    whole = {p for p in model.parameters() if not p.is_floating_point() or p.dim() == 0}
    whole |= {model.rows} if model.trains_few_rows else set()
    offloaded = (os.environ.get("FSDP_OFFLOAD_PARAMS") or "false").lower() == "true"
    policy = CPUOffloadPolicy() if offloaded else OffloadPolicy()
    for part in (*model.llm.model.layers, model):
        fully_shard(part, mesh=mesh, offload_policy=policy, ignored_params=whole)
    for parameter in whole - ({model.rows} if model.rows_stay else set()):
        parameter.data = parameter.data.to(processes.device)
    for part in model.modules():
        if isinstance(part, FSDPModule):
            # the losses are shares of one mean, so gradients are added; gloo cannot average either
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(True)


class ShardedStepper(Stepper):
    """The gradients and the optimiser of one stage, of which each process holds the part of its own weights."""

    def loss(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        """Return what the forward pass of the model returns."""
        total, count = super().loss(*arguments)
        # all processes must have gradients of the same weights, also where one has read no item with a sound
        used = [p for p in self.parameters_outside_layers() if p.requires_grad]
        return total + sum(0.0 * p.sum() for p in used), count

    def parameters_outside_layers(self) -> list[nn.Parameter]:
        """Return the weights that are whole from the forward pass to the backward pass."""
        return [p for name, p in self.model.named_parameters() if not name.startswith("peft.")]

    def step(self, max_norm: float, beside: Sequence[Tensor] = ()) -> None:
        """Take one step with the gradients of all processes, which are then gone; `beside`: as in `Stepper`."""
        self.processes.add_gradients([p for p in self.parameters if not isinstance(p, DTensor)])
        gradients = [*(p.grad for p in self.parameters if p.grad is not None), *beside]
        kinds = [[g for g in gradients if isinstance(g, DTensor) is of_parts] for of_parts in (True, False)]
        norms = [torch.nn.utils.get_total_norm(kind) for kind in kinds if kind]
        whole = [norm.full_tensor() if isinstance(norm, DTensor) else norm for norm in norms]
        whole = [norm.to(self.processes.device) for norm in whole]  # parts may be kept on the host
        share = (max_norm / (torch.stack(whole).norm() + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            local = gradient.to_local() if isinstance(gradient, DTensor) else gradient
            local.mul_(share.to(local.device))
        self.optimizer.step()
        self.optimizer.zero_grad()

    def state(self) -> dict[str, Any]:
        """Return the optimiser's state as one process has it; all processes must ask."""
        state = self.optimizer.state_dict()
        moments = {n: {key: _whole(value) for key, value in own.items()} for n, own in state["state"].items()}
        return state | {"state": moments}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned, perhaps on another number of processes."""
        self.optimizer.load_state_dict(dict(state))
        for parameter, own in self.optimizer.state.items():
            if isinstance(parameter, DTensor):
                own |= {key: as_part(value, parameter) if value.dim() else value for key, value in own.items()}

    @contextmanager
    def readable(self) -> Iterator[None]:
        """Within the block all that ranks can be read as it is: what ranks reads weights without a forward pass."""
        layers = list(self.model.llm.model.layers[: self.model.config.base.rank_layers])
        for layer in layers:  # what ranks also runs them once, to compare
            layer.set_reshard_after_forward(False, recurse=False)
        for part in (self.model, *layers):
            part.unshard()
        try:
            yield
        finally:
            for layer in layers:
                layer.set_reshard_after_forward(True, recurse=False)
            for part in (self.model, *layers):
                part.reshard()


def _whole(value: Any) -> Any:
    return value.full_tensor().cpu() if isinstance(value, DTensor) else value


def put_back(model: RecommenderModel, weights: Mapping[str, Tensor]) -> None:
    """Put what was trained back as whole weights, in the place of the parts; the base stays cut.

    `weights`: of `run_state.trainable`. Afterwards the model can be saved, and computes nothing any more.
    """
    for name, value in weights.items():
        owner, _, last = name.rpartition(".")
        module = model.get_submodule(owner)
        module._parameters[last] = nn.Parameter(value, requires_grad=False)
