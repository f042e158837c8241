"""The saved state of a training run, from which a killed run resumes to the same result."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from recommender.config import Config
from recommender.errors import RecommenderError
from recommender.files import replacing
from recommender.model.network import is_adapter_parameter
from recommender.prompts import template_hashes
from recommender.training.epochs import TrainingData

FIELDS = ("number", "stage", "step", "epoch", "loss", "learning_rate", "positions_per_second", "validation")


@dataclass
class Position:
    """How far a run has come: the stage's index, its next step, its best validation, and how many were no better since."""

    stage: int = 0
    step: int = 0
    best: float | None = None
    waited: int = 0
    #: minutes spent in each stage, by its index, over all processes of a run that was killed and resumed
    minutes: dict[str, float] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)


def trainable(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return copies of all parameters that any stage may train: LoRA, rows, projectors, ranking norm."""
    return {n: p.detach().cpu().clone() for n, p in model.named_parameters() if is_adapter_parameter(n)}


def restore(model: nn.Module, values: Mapping[str, torch.Tensor]) -> None:
    """Copy values returned by `trainable` back into the model."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in values.items():
            parameters[name].copy_(value)


def run_key(config: Config, data: TrainingData) -> str:
    """Return a hash of the configuration, the prompts and the training data of a run."""
    settings = f"{config.to_yaml()}{sorted(template_hashes().items())}{data.builder.catalogue.fingerprint}"
    digest = hashlib.sha256(settings.encode())
    for history in data.split.train.items:
        digest.update(np.asarray([len(history), *history], dtype=np.int64).tobytes())
    digest.update(repr(list(data.explanations)).encode())
    return digest.hexdigest()


def write(
    path: Path,
    key: str,
    model: nn.Module,
    optimizer: Any,
    position: Position,
    best: Mapping[str, torch.Tensor],
) -> None:
    """Write the whole state atomically."""
    state = {
        "key": key,
        "model": trainable(model),
        "optimizer": optimizer.state_dict(),
        "position": asdict(position),
        "best": dict(best),
    }
    with replacing(path) as temporary:
        torch.save(state, temporary)


def read(path: Path, key: str) -> dict[str, Any] | None:
    """Return the state that `write` wrote, or None. Raises RecommenderError if another run wrote it."""
    saved = torch.load(path, weights_only=True) if path.is_file() else None
    if saved and saved.get("key") != key:
        raise RecommenderError(
            f"{path}: the state of a run with another configuration or other data",
            f"finish that run with its configuration, or remove {path.parent} to start anew",
        )
    return saved


def write_log(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the training log as CSV, atomically."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
