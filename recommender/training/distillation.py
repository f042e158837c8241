"""The teacher of the stage `rank`: a baseline, fitted on the same histories, predicts each training interaction."""

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
from recommender.model.soft_targets import SoftTargets
from recommender.progress import Progress


@runtime_checkable
class Teacher(Protocol):
    """A baseline that predicts every position of a history at once."""

    def fit(self, data: FitData) -> None:
        """Learn from the histories."""

    def scores_by_position(self, history: np.ndarray) -> np.ndarray:
        """Return scores [len(history), items]: in row i, those of what comes after the first i items."""


def make_soft_targets(
    config: TeacherConfig, data: FitData, progress: Progress | None = None, cache: Path | None = None
) -> SoftTargets:
    """Fit the baseline once for each seed; returns the likeliest items of every interaction of `data`.

    The fits' probabilities are averaged. `cache`: a file that they are written to, and read from if it was written for
    the same baseline, histories and seed. Raises ConfigError if the baseline cannot teach.
    """
    key = _cache_key(config, data)
    predictions = _read_cache(cache, key)
    if predictions is None:
        predictions = _predict(config, data, progress)
        _write_cache(cache, key, *predictions)
    targets = np.concatenate([np.empty(0, np.int64), *data.histories])
    return SoftTargets(torch.from_numpy(targets), *predictions, config.weight)


def _predict(config: TeacherConfig, data: FitData, progress: Progress | None) -> tuple[Tensor, Tensor]:
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
        theirs = np.take_along_axis(expected, likeliest, axis=1)
        items[rows], probabilities[rows] = likeliest, theirs / theirs.sum(axis=1, keepdims=True)
        start += len(history)
        if progress is not None and (user % 100 == 0 or start == total):
            progress(f"asking {config.baseline}", start, total)
    return torch.from_numpy(items), torch.from_numpy(probabilities)


def _cache_key(config: TeacherConfig, data: FitData) -> str:
    """Return a hash of everything that a teacher's predictions depend on; its weight in the loss is not among them."""
    digest = hashlib.sha256(f"{config.baseline} {config.seeds} {config.most} {data.seed} {data.items}".encode())
    for history in data.histories:
        digest.update(np.asarray([len(history), *history], dtype=np.int64).tobytes())
    if data.content is not None:
        digest.update("\0".join(data.content.texts).encode())
        for name, vectors in sorted(data.content.features.vectors.items()):
            digest.update(name.encode() + np.ascontiguousarray(vectors).tobytes())
    return digest.hexdigest()


def _read_cache(cache: Path | None, key: str) -> tuple[Tensor, Tensor] | None:
    if cache is None or not cache.is_file():
        return None
    saved = torch.load(cache, weights_only=True)
    return (saved["items"], saved["probabilities"]) if saved.get("key") == key else None


def _write_cache(cache: Path | None, key: str, items: Tensor, probabilities: Tensor) -> None:
    if cache is None:
        return
    with replacing(cache) as temporary:  # several processes of a run may write it at once
        torch.save({"key": key, "items": items, "probabilities": probabilities}, temporary)


def _fitted(config: TeacherConfig, data: FitData) -> Teacher:
    teacher = BASELINES[config.baseline]() if config.baseline in BASELINES else None
    if not isinstance(teacher, Teacher):
        teachers = [name for name, make in BASELINES.items() if isinstance(make(), Teacher)]
        raise ConfigError(
            f"training.teacher.baseline: {config.baseline!r} cannot be a teacher",
            f"one of {', '.join(teachers)}",
        )
    teacher.fit(data)
    return teacher


def _probabilities(scores: np.ndarray) -> np.ndarray:
    """Return the softmax of each row."""
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))
