"""A teacher for the stage `rank`: what a baseline, fitted on the same histories, expects at each training interaction."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from recommender.config import TeacherConfig
from recommender.errors import ConfigError
from recommender.eval.baselines import BASELINES, FitData
from recommender.model.network import SoftTargets
from recommender.progress import Progress


@runtime_checkable
class Teacher(Protocol):
    """A baseline that can be asked about every place of a history at once."""

    def fit(self, data: FitData) -> None:
        """Learn from the histories."""

    def expected(self, history: np.ndarray) -> np.ndarray:
        """Return scores [len(history), items]: in row i, those of what comes after the first i items."""


def teach(config: TeacherConfig, data: FitData, progress: Progress | None = None) -> SoftTargets:
    """Fit the baseline once a seed and keep, of every interaction of `data`, the items that it finds likeliest.

    The fits' chances are averaged. Raises ConfigError if the baseline cannot be asked about every place.
    """
    teachers = [_fitted(config, replace(data, seed=data.seed + number)) for number in range(config.seeds)]
    most = min(config.most, data.items)
    total = sum(map(len, data.histories))
    items, chances = np.zeros((total, most), np.int32), np.zeros((total, most), np.float16)
    start = 0
    for user, history in enumerate(data.histories):
        expected = np.mean([_chances(teacher.expected(history)) for teacher in teachers], axis=0)
        rows = slice(start, start + len(history))
        likeliest = np.argpartition(-expected, most - 1, axis=1)[:, :most]
        kept = np.take_along_axis(expected, likeliest, axis=1)
        items[rows], chances[rows] = likeliest, kept / kept.sum(axis=1, keepdims=True)
        start += len(history)
        if progress is not None and (user % 100 == 0 or start == total):
            progress(f"asking {config.baseline}", start, total)
    own = np.concatenate([np.empty(0, np.int64), *data.histories])
    return SoftTargets(torch.from_numpy(own), torch.from_numpy(items), torch.from_numpy(chances), config.weight)


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


def _chances(scores: np.ndarray) -> np.ndarray:
    """Return the softmax of each row."""
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
