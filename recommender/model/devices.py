"""Where a model lives: the device of a configuration, and of each process of a training on several."""

from __future__ import annotations

import os

import torch

from recommender.errors import ConfigError

#: how launchers tell the number of processes: torchrun and accelerate, then those of MPI
_COUNTS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def of_several() -> bool:
    """Whether this process was started as one of several that train together."""
    started = max(int(os.environ.get(name) or 1) for name in _COUNTS)
    return started > 1 or (torch.distributed.is_available() and torch.distributed.is_initialized())


def resolve_device(name: str) -> torch.device:
    """Return the device of a configuration; a model made on a GPU is served on a CPU where there is none.

    `name`: cpu; cuda, for each of several processes its own GPU; cuda:1, that one; auto, a GPU if there is one. Raises
    ConfigError for a number that no GPU of this machine has.
    """
    if name == "cpu" or not torch.cuda.is_available() or (name == "auto" and _set("ACCELERATE_USE_CPU")):
        return torch.device("cpu")
    if ":" not in name:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK") or 0)) if of_several() else torch.device("cuda")
    device, there = torch.device(name), torch.cuda.device_count()
    if device.index >= there:
        raise ConfigError(f"base.device is {name}, but this machine has {there} GPUs, from cuda:0", "name one of them")
    return device


def is_sharded() -> bool:
    """Whether this process was started to hold a part of the base only (FSDP), which is cut where all of it fits."""
    return of_several() and _set("ACCELERATE_USE_FSDP")


def uses_deepspeed() -> bool:
    """Whether this process was started to train in DeepSpeed's engine."""
    return of_several() and _set("ACCELERATE_USE_DEEPSPEED")


def loading_device(name: str) -> torch.device:
    """Return where a base is read to: its device, or the host if it will be cut."""
    return torch.device("cpu") if is_sharded() else resolve_device(name)


def training_device(name: str) -> torch.device:
    """Return the device that this process trains on. Raises ConfigError if it is not there, or the GPU of another one."""
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"base.device is {name}, but no GPU is there", "set base.device: cpu, or auto")
    if ":" in name and of_several():
        raise ConfigError(
            f"base.device is {name}, but several processes train together", "set base.device: cuda, each takes its own"
        )
    device = resolve_device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        there = torch.cuda.device_count()
        raise ConfigError(
            f"more processes than GPUs: process {device.index} of this machine has none, there are {there}",
            f"start {there} processes",
        )
    return device


def _set(name: str) -> bool:
    return (os.environ.get(name) or "false").lower() in ("true", "1", "yes")
