"""The processes that train one model together: which one this is, what its share is, and how they agree.

They are started by `accelerate launch` or `torchrun`, one for each device. Gradients are added up here and not by torch's
DistributedDataParallel: what is trained is small, a share may be empty, and the mean is over the labels of all processes,
so that the result is that of one process with the same batch.
"""

from __future__ import annotations

import atexit
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from torch import Tensor, distributed, nn

from recommender.errors import ConfigError
from recommender.model.devices import of_several, training_device, uses_deepspeed

Part = TypeVar("Part")
#: how long processes wait for one that encodes or writes
_PATIENCE = timedelta(days=2)
#: numbers of gradients up to which they share one message
_SMALL = 1 << 20


@dataclass(frozen=True)
class Processes:
    """This process among those of a run: its number of `count`, its number on its machine, and its device."""

    index: int = 0
    count: int = 1
    local: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    #: a process group on the host, so that agreeing waits for no device
    host: Any = None

    @property
    def main(self) -> bool:
        """Whether this is the process that writes, prints and shows progress."""
        return self.index == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.count == 1

    def share(self, parts: Sequence[Part]) -> list[Part]:
        """Return this process's share of a sequence that all hold: every `count`-th part; it may be empty."""
        return list(parts[self.index :: self.count])

    def joined(self, shares: Sequence[float], total: int) -> list[float]:
        """Return the numbers of all processes in order; `shares`: those of this one's `share` of `total` parts."""
        values = [0.0] * total
        values[self.index :: self.count] = shares
        return self.totals(*values)

    def totals(self, *numbers: float) -> list[float]:
        """Return the sums of numbers over all processes."""
        if self.alone or not numbers:
            return list(numbers)
        values = torch.tensor(numbers, dtype=torch.float64)
        distributed.all_reduce(values, group=self.host)
        return [float(value) for value in values.tolist()]

    def parts_of_all(self, part: Tensor) -> list[Tensor]:
        """Return the parts [n, ...] of all processes in order, on the device of this one's; they may differ in n."""
        if self.alone:
            return [part]
        sizes = [int(size) for size in self.joined([len(part)], self.count)]
        padded = part.new_zeros(max(sizes), *part.shape[1:])
        padded[: len(part)] = part
        parts = [torch.empty_like(padded) for _ in sizes]
        if max(sizes):
            distributed.all_gather(parts, padded, group=self._group_of(part))
        return [whole[:size] for whole, size in zip(parts, sizes, strict=True)]

    def _group_of(self, tensor: Tensor) -> Any:
        """Return the group that exchanges a tensor: of the devices, or of the host."""
        return self.host if tensor.device.type == "cpu" else None

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if not self.alone:
            distributed.barrier(group=self.host)

    @contextmanager
    def one_first(self) -> Iterator[None]:
        """Run the block in one process of each machine first: the others find in the cache what it has made."""
        if self.local:
            self.wait()
        yield
        if not self.local:
            self.wait()

    def copy_weights(self, parameters: Sequence[nn.Parameter]) -> None:
        """Give all processes the weights of the first one."""
        if not self.alone:
            for parameter in parameters:
                distributed.broadcast(parameter.data, 0, group=self._group_of(parameter))

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Add up the gradients of all processes. A parameter that none has used keeps none, as in one process."""
        if self.alone or not parameters:
            return
        used = torch.tensor([int(p.grad is not None) for p in parameters])
        distributed.all_reduce(used, distributed.ReduceOp.MAX, group=self.host)
        gradients = [_gradient(p) for p, by_any in zip(parameters, used.tolist(), strict=True) if by_any]
        small = [g for g in gradients if g.numel() <= _SMALL]
        if small:
            together = torch.cat([g.reshape(-1) for g in small])
            distributed.all_reduce(together)
            for gradient, added in zip(small, together.split([g.numel() for g in small]), strict=True):
                gradient.copy_(added.view_as(gradient))
        for gradient in (g for g in gradients if g.numel() > _SMALL):
            distributed.all_reduce(gradient)


ALONE = Processes()
"""One process on the CPU."""


def _gradient(parameter: nn.Parameter) -> Tensor:
    """Return the gradient of a parameter, which is zero where this process has not used it."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def join(device: str) -> Processes:
    """Join the other processes of this run, if there are any, each on a device of its own.

    `device`: as `base.device` of the config. Raises ConfigError if it is not there.
    """
    chosen = training_device(device)
    if not of_several():
        return Processes(device=chosen)
    if uses_deepspeed():
        _check_deepspeed()
    state = PartialState(cpu=chosen.type == "cpu", timeout=_PATIENCE)
    if state.num_processes == 1:
        return Processes(device=chosen)
    return Processes(
        state.process_index, state.num_processes, state.local_process_index, torch.device(state.device), _host_group()
    )


def _check_deepspeed() -> None:
    """Raise ConfigError if DeepSpeed is not installed."""
    if importlib.util.find_spec("deepspeed") is None:
        raise ConfigError(
            "accelerate was told to train with DeepSpeed, which is not installed",
            "pip install deepspeed, or launch with adapters/accelerate/fsdp2.yaml",
        )


_groups: list[Any] = []


def _host_group() -> Any:
    """Return the group that agrees on the host; made once, when all processes come here together."""
    if not _groups:
        atexit.register(_leave)
        backend = distributed.get_backend()
        _groups.append(None if backend == "gloo" else distributed.new_group(backend="gloo", timeout=_PATIENCE))
    return _groups[0]


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()
