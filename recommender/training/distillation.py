"""The teacher of the stage `rank`: baselines, fitted on the same histories, predict each training interaction."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from recommender.baselines import BASELINES, FitData, is_baseline, make_baseline
from recommender.baselines.fusion.conditional_logit import logit_weights
from recommender.config import TeacherConfig
from recommender.errors import ConfigError
from recommender.files import replacing
from recommender.model.soft_targets import SoftTargets
from recommender.numerics.sampling import evenly
from recommender.progress import Progress

#: in the place of a baseline's name: the checkpoint that is trained further
ITSELF = "itself"
#: validation targets on which the weights of several baselines are fitted
WEIGHED_ON = 2000
#: what a sum of probabilities is divided by where it is zero
_LEAST = 1e-30


@runtime_checkable
class Teacher(Protocol):
    """A baseline that predicts every position of a training history at once.

    One that counts takes off what the history itself added; a network says what it has learned, however well it remembers.
    """

    def fit(self, data: FitData) -> None:
        """Learn from the histories."""

    def views_by_position(self, history: np.ndarray, ends: bool = False) -> np.ndarray:
        """Return [positions, items, views]: in row i, what speaks for each item after the first i items of a history.

        With `ends` one more row follows, for what comes after all of them. A single view is log-probabilities.
        """


@dataclass(frozen=True)
class Known:
    """Histories up to the validation targets [users], -1 where a user has none."""

    histories: Sequence[np.ndarray]
    targets: np.ndarray


def teacher_names(config: TeacherConfig) -> list[str]:
    """Return the baselines that teach together. Raises ConfigError for one that cannot, DataError for wrong settings."""
    if config.baseline == ITSELF:
        raise ConfigError(
            f"training.teacher.baseline: {ITSELF!r} is a checkpoint that is trained further, and this is a new one",
            "give --start, or name a baseline",
        )
    names = config.baseline.split("+")
    for name in names:
        if not is_baseline(name) or not isinstance(make_baseline(name), Teacher):
            teachers = [other for other, make in BASELINES.items() if isinstance(make(), Teacher)]
            raise ConfigError(
                f"training.teacher.baseline: {name!r} cannot be a teacher",
                f"one of {', '.join(teachers)}, or several of them joined by +",
            )
    return names


def make_soft_targets(
    config: TeacherConfig,
    data: FitData,
    progress: Progress | None = None,
    cache: Path | None = None,
    known: Known | None = None,
) -> SoftTargets:
    """Fit the baselines once for each seed; returns the likeliest items of every interaction of `data`.

    The fits' probabilities are averaged for each baseline. Several baselines are weighed by a conditional logit on the
    targets of `known`, which none of them has learned. `cache`: a file that the answers are written to, and read from if
    it was written for the same baselines, histories and seed. Raises ConfigError if a baseline cannot teach, or if several
    have no target to be weighed on.
    """
    names = teacher_names(config)
    key = _cache_key(config, data)
    predictions = read_answers(cache, key)
    if predictions is None:
        predictions = _predict(config, names, data, progress, known)
        write_answers(cache, key, *predictions)
    items, probabilities = predictions
    lengths = [len(history) for history in data.histories]
    if not config.ends:
        targets = np.concatenate([np.empty(0, np.int64), *data.histories])
        return SoftTargets(torch.from_numpy(targets), items, probabilities, config.weight)
    places = np.cumsum(np.array(lengths) + 1) - 1
    likeliest = items[torch.from_numpy(places), probabilities[torch.from_numpy(places)].argmax(1)].numpy()
    extended = [np.append(history, item) for history, item in zip(data.histories, likeliest, strict=True)]
    targets = np.concatenate([np.empty(0, np.int64), *extended])
    weights = torch.full((len(targets),), config.weight)
    weights[torch.from_numpy(places)] = 1.0
    return SoftTargets(torch.from_numpy(targets), items, probabilities, weights, with_ends=True)


class _Mixed:
    """Fitted teachers, and the weights of their views."""

    def __init__(self, teachers: Sequence[Sequence[Teacher]]) -> None:
        """`teachers`: for each baseline its fits."""
        self.teachers = teachers
        self.weights: np.ndarray | None = None

    @property
    def has_several_views(self) -> bool:
        """Whether weights are needed: a single view is log-probabilities already."""
        return self._views(np.zeros(1, np.int64), False).shape[2] > 1

    def weigh(self, known: Known | None) -> None:
        """Fit the weights. Raises ConfigError without any validation target."""
        with_target = np.flatnonzero(known.targets >= 0) if known is not None else np.empty(0, np.int64)
        if known is None or not len(with_target):
            raise ConfigError(
                "training.teacher: several baselines are weighed on validation targets, and nobody has one",
                "name one baseline, or give longer histories",
            )
        users = with_target[evenly(len(with_target), WEIGHED_ON)]
        views = torch.from_numpy(np.stack([self._views(known.histories[user], True)[-1] for user in users.tolist()]))
        seen = torch.zeros(views.shape[:2], dtype=torch.bool)
        for row, user in enumerate(users.tolist()):
            seen[row, torch.from_numpy(known.histories[user])] = True
        self.weights = logit_weights(views, seen, torch.from_numpy(known.targets[users])).numpy()

    def logits(self, history: np.ndarray, ends: bool) -> np.ndarray:
        """Return [positions, items]: unnormalised log-probabilities."""
        views = self._views(history, ends)
        if self.weights is None:
            return views[..., 0]
        logits = views @ self.weights
        for row in range(1, len(logits)):
            logits[row, history[:row]] = -np.inf  # weighed among the unseen, so only these have probabilities
        return logits

    def _views(self, history: np.ndarray, ends: bool) -> np.ndarray:
        parts = [_averaged([fit.views_by_position(history, ends) for fit in fits]) for fits in self.teachers]
        return np.concatenate(parts, axis=2).astype(np.float32)


def _averaged(views: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean of the views [positions, items, views] of several fits; of log-probabilities that of probabilities."""
    if len(views) == 1:
        return views[0]
    if views[0].shape[2] == 1:
        return np.asarray(np.logaddexp.reduce(views, axis=0) - np.log(len(views)))
    return np.asarray(np.mean(views, axis=0))


def _predict(
    config: TeacherConfig, names: Sequence[str], data: FitData, progress: Progress | None, known: Known | None
) -> tuple[Tensor, Tensor]:
    """Return the likeliest items of every interaction and their probabilities, both [interactions, most]."""
    fits = [[_fitted(name, replace(data, seed=data.seed + n)) for n in range(config.seeds)] for name in names]
    mixed = _Mixed(fits)
    if mixed.has_several_views:
        mixed.weigh(known)
    most = min(config.most, data.items)
    total = sum(len(history) + config.ends for history in data.histories)
    items, probabilities = np.zeros((total, most), np.int32), np.zeros((total, most), np.float16)
    start = 0
    for user, history in enumerate(data.histories):
        expected = _probabilities(mixed.logits(history, config.ends))
        rows = slice(start, start + len(expected))
        likeliest = np.argpartition(-expected, most - 1, axis=1)[:, :most]
        theirs = np.take_along_axis(expected, likeliest, axis=1)
        items[rows], probabilities[rows] = likeliest, theirs / np.maximum(theirs.sum(axis=1, keepdims=True), _LEAST)
        start += len(expected)
        if progress is not None and (user % 100 == 0 or start == total):
            progress(f"asking {config.baseline}", start, total)
    return torch.from_numpy(items), torch.from_numpy(probabilities)


def _cache_key(config: TeacherConfig, data: FitData) -> str:
    """Return a hash of everything that a teacher's predictions depend on; its weight in the loss is not among them."""
    named = f"{config.baseline} {config.seeds} {config.most} {config.ends} {data.seed} {data.items}"
    digest = hashlib.sha256(named.encode())
    for history in data.histories:
        digest.update(np.asarray([len(history), *history], dtype=np.int64).tobytes())
    if data.content is not None:
        digest.update("\0".join(data.content.texts).encode())
        for name, vectors in sorted(data.content.features.vectors.items()):
            digest.update(name.encode() + np.ascontiguousarray(vectors).tobytes())
    return digest.hexdigest()


def read_answers(cache: Path | None, key: str) -> tuple[Tensor, Tensor] | None:
    """Return items and probabilities [interactions, most] that were kept under a key; None if there are none."""
    if cache is None or not cache.is_file():
        return None
    saved = torch.load(cache, weights_only=True)
    return (saved["items"], saved["probabilities"]) if saved.get("key") == key else None


def write_answers(cache: Path | None, key: str, items: Tensor, probabilities: Tensor) -> None:
    """Keep a teacher's answers for a run that goes on; `key`: a hash of all that they depend on."""
    if cache is None:
        return
    with replacing(cache) as temporary:  # several processes of a run may write it at once
        torch.save({"key": key, "items": items, "probabilities": probabilities}, temporary)


def _fitted(name: str, data: FitData) -> Teacher:
    teacher = make_baseline(name)
    assert isinstance(teacher, Teacher)
    teacher.fit(data)
    return teacher


def _probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of each row; zeros where nothing is possible, after a history of all items."""
    highest = logits.max(axis=1, keepdims=True)
    exponentials = np.exp(logits - np.where(np.isfinite(highest), highest, 0))
    return np.asarray(exponentials / np.maximum(exponentials.sum(axis=1, keepdims=True), _LEAST))
