"""Which parameters a stage trains, and with which learning rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from recommender.adapters.lora import CONVERSE, EXPLAIN, RANK
from recommender.config import StageConfig
from recommender.errors import ConfigError
from recommender.model import RecommenderModel
from recommender.model.network import is_adapter_parameter, is_listening_parameter

ADAPTERS = {"explain": EXPLAIN, "converse": CONVERSE}
"""The adapter of a stage; the others train that of ranking."""


def parameter_groups(
    model: RecommenderModel, config: StageConfig, trains: Callable[[str], bool] = lambda name: True
) -> list[dict[str, Any]]:
    """Return the groups of the optimiser, and switch gradients accordingly.

    The stage `explain` trains its own LoRA, `converse` its own and what listens; the others train everything else: LoRA of
    ranking, rows, projectors, norm. What has a learning rate of 0 is frozen; rows of which a step looks at few have no
    gradients as a whole: see `sparse_rows`. A stage that does not read the layers trains nothing in them. The
    memory learns at the rate of the rows, or at that of LoRA where these are frozen, unless it has a rate of its own.
    `trains`: of the name of a parameter, whether it is trained at all. Raises ConfigError if that leaves nothing.
    """
    rates = {
        "lora": config.learning_rate,
        "rows": _rate(config.rows_learning_rate, config),
        "projectors": _rate(config.projector_learning_rate, config),
        "memory": _memory_rate(config),
    }
    groups: dict[str, list[torch.nn.Parameter]] = {name: [] for name in rates}
    for name, parameter in model.named_parameters():
        group = _group(name, config.stage)
        group = group if group is not None and rates[group] and trains(name) else None
        if (name == "rows" and model.trains_few_rows) or (not config.layers and _of_layers(name)):
            group = None
        parameter.requires_grad_(group is not None)
        if group is not None:
            groups[group].append(parameter)
    if not any(groups.values()) and not model.trains_few_rows:
        raise ConfigError(
            f"a stage {config.stage} trains nothing: all that it could train has a learning rate of 0",
            "set learning_rate, or the one of what it is to train",
        )
    return [
        {"name": name, "params": parameters, "lr": rates[name], "peak": rates[name]}
        for name, parameters in groups.items()
        if parameters
    ]


def _memory_rate(config: StageConfig) -> float:
    if config.memory_learning_rate is not None:
        return config.memory_learning_rate
    return _rate(config.rows_learning_rate, config) or config.learning_rate


def _of_layers(name: str) -> bool:
    return "lora_" in name or name.startswith("rank_norm.")


def _rate(rate: float | None, config: StageConfig) -> float:
    return config.learning_rate if rate is None else rate


def _group(name: str, stage: str) -> str | None:
    if "lora_" in name:
        return "lora" if f".{ADAPTERS.get(stage, RANK)}." in name else None
    if stage == "converse":
        return "rows" if is_listening_parameter(name) else None
    if stage == "explain" or not is_adapter_parameter(name) or is_listening_parameter(name):
        return None
    if name.startswith("memory."):
        return "memory"
    return "projectors" if name.startswith("projectors.") else "rows"
