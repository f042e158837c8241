"""A teacher for the stage `rank`: what a baseline, fitted on the same histories, expects at each training interaction."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from recommender.baselines import BASELINES, FitData
from recommender.config import TeacherConfig
from recommender.errors import ConfigError
from recommender.files import replacing
from recommender.model.network import SoftTargets
from recommender.progress import Progress


@runtime_checkable
class Teacher(Protocol):
    """A baseline that can be asked about every place of a history at once."""

    def fit(self, data: FitData) -> None:
        """Learn from the histories."""

    def scores_by_position(self, history: np.ndarray) -> np.ndarray:
        """Return scores [len(history), items]: in row i, those of what comes after the first i items."""


def teach(
    config: TeacherConfig, data: FitData, progress: Progress | None = None, keep: Path | None = None
) -> SoftTargets:
    """Fit the baseline once a seed and keep, of every interaction of `data`, the items that it finds likeliest.

    The fits' probabilities are averaged. `keep`: a file that they are written to, and read from if it was written for
    the same baseline, histories and seed. Raises ConfigError if the baseline cannot be asked about every place.
    """
    purpose = _purpose(config, data)
    said = _read(keep, purpose)
    if said is None:
        said = _ask(config, data, progress)
        _write(keep, purpose, *said)
    own = np.concatenate([np.empty(0, np.int64), *data.histories])
    return SoftTargets(torch.from_numpy(own), *said, config.weight)


def _ask(config: TeacherConfig, data: FitData, progress: Progress | None) -> tuple[Tensor, Tensor]:
    """Return the likeliest items of every interaction and their probabilities, both [interactions, most]."""
    teachers = [_fitted(config, replace(data, seed=data.seed + number)) for number in range(config.seeds)]
    most = min(config.most, data.items)
    total = sum(map(len, data.histories))
    items, probabilities = np.zeros((total, most), np.int32), np.zeros((total, most), np.float16)
    start = 0
    for user, history in enumerate(data.histories):
        expected = np.mean([_probabilities(teacher.scores_by_position(history)) for teacher in teachers], axis=0)
        rows = slice(start, start + len(history))
        likeliest = np.argpartition(-expected, most - 1, axis=1)[:, :most]
        kept = np.take_along_axis(expected, likeliest, axis=1)
        items[rows], probabilities[rows] = likeliest, kept / kept.sum(axis=1, keepdims=True)
        start += len(history)
        if progress is not None and (user % 100 == 0 or start == total):
            progress(f"asking {config.baseline}", start, total)
    return torch.from_numpy(items), torch.from_numpy(probabilities)


def _purpose(config: TeacherConfig, data: FitData) -> str:
    """Return what identifies a teacher's answers: whatever they depend on but its weight in the loss."""
    digest = hashlib.sha256(f"{config.baseline} {config.seeds} {config.most} {data.seed} {data.items}".encode())
    for history in data.histories:
        digest.update(np.asarray([len(history), *history], dtype=np.int64).tobytes())
    if data.content is not None:
        digest.update("\0".join(data.content.texts).encode())
        for name, vectors in sorted(data.content.features.vectors.items()):
            digest.update(name.encode() + np.ascontiguousarray(vectors).tobytes())
    return digest.hexdigest()


def _read(keep: Path | None, purpose: str) -> tuple[Tensor, Tensor] | None:
    if keep is None or not keep.is_file():
        return None
    kept = torch.load(keep, weights_only=True)
    return (kept["items"], kept["probabilities"]) if kept["purpose"] == purpose else None


def _write(keep: Path | None, purpose: str, items: Tensor, probabilities: Tensor) -> None:
    if keep is None:
        return
    with replacing(keep) as temporary:  # each process of a run writes its own
        torch.save({"purpose": purpose, "items": items, "probabilities": probabilities}, temporary)


def _fitted(config: TeacherConfig, data: FitData) -> Teacher:
    teacher = BASELINES[config.baseline]() if config.baseline in BASELINES else None
    if not isinstance(teacher, Teacher):
        able = [name for name, make in BASELINES.items() if isinstance(make(), Teacher)]
        raise ConfigError(
            f"training.teacher.baseline: {config.baseline!r} cannot be asked about every interaction",
            f"one of {', '.join(able)}",
        )
    teacher.fit(data)
    return teacher


def _probabilities(scores: np.ndarray) -> np.ndarray:
    """Return the softmax of each row."""
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
