"""Compares a checkpoint on the base that it was trained on with the same one on the base in float32."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recommender.config import Config
from recommender.export.merge import sample_prompts
from recommender.inference import beam_search
from recommender.inference.weight_cache import WeightCache
from recommender.model.checkpoint import CONFIG, Checkpoint, from_pretrained, resolve
from recommender.progress import Progress

LIST = 10


@dataclass(frozen=True)
class PrecisionReport:
    """How far scores differ from those on the base of the training, as a share of their spread, and which share of the
    first ten items of a list is the same. None: it was trained on the full base, so there is nothing to compare."""

    score_difference: float | None = None
    same_items: float | None = None


def compare_precision(source: str | Path, full: Checkpoint, progress: Progress | None = None) -> PrecisionReport:
    """Compare the lists of `full`, which is `source` on the base in float32, with those on the base of 4 bits.

    Raises ConfigError where 4-bit weights cannot be loaded.
    """
    if not Config.load(resolve(source) / CONFIG).base.load_in_4bit:
        return PrecisionReport()
    trained = from_pretrained(source, full.catalogue, progress)
    ours, theirs = (_scores(checkpoint) for checkpoint in (full, trained))
    count = min(LIST, ours.shape[1])
    best = [[set(np.argsort(-row)[:count]) for row in scores] for scores in (ours, theirs)]
    same = [len(mine & own) / count for mine, own in zip(*best, strict=True)]
    return PrecisionReport(float(np.abs(ours - theirs).max() / theirs.std().clip(1e-6)), float(np.mean(same)))


def _scores(checkpoint: Checkpoint) -> np.ndarray:
    items = range(len(checkpoint.catalogue))
    return beam_search.score(WeightCache(checkpoint.model), sample_prompts(checkpoint), items)
