"""A checkpoint as the teacher of what is made of it: what it expects at each interaction, before it is changed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from recommender.errors import ConfigError
from recommender.model.checkpoint import Checkpoint
from recommender.model.soft_targets import SoftTargets
from recommender.progress import Progress
from recommender.training.distillation import read_answers, write_answers
from recommender.training.own_softmax import own_softmax


def expected_by(
    checkpoint: Checkpoint,
    histories: Sequence[np.ndarray],
    weight: float,
    start: str,
    cache: Path,
    progress: Progress | None = None,
) -> SoftTargets:
    """Return what a checkpoint expects at each interaction; a run that goes on reads it from `cache`.

    `weight`: its share of the loss, the rest is of what came. `start`: a hash of its weights.
    """
    digest = hashlib.sha256(start.encode())
    for history in histories:
        digest.update(np.asarray([len(history), *history], np.int64).tobytes())
    known = read_answers(cache, digest.hexdigest())
    if known is not None:
        came = torch.from_numpy(np.concatenate([np.empty(0, np.int64), *histories]))
        return SoftTargets(came, *known, weight)
    learned = np.ones(sum(map(len, histories)), bool)
    targets = own_softmax(checkpoint.model, checkpoint.builder, histories, learned, weight, None, progress)
    write_answers(cache, digest.hexdigest(), targets.items, targets.probabilities)
    return targets


def check_one_level(source: str, levels: int, instead: str) -> None:
    """Raise ConfigError if the ids of a checkpoint have several levels."""
    if levels > 1:
        raise ConfigError(f"{source}: has {levels} levels of ids, and a softmax over all items needs one", instead)
