"""Single steps of a stage, for measurements: the same as in a training, without its epochs and validations."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from recommender.config import Config, StageConfig
from recommender.model import RecommenderModel
from recommender.training.epochs import TrainingData
from recommender.training.loop import steps_of_stage


def steps_of(
    model: RecommenderModel, data: TrainingData, config: Config, stage: StageConfig, count: int
) -> list[float]:
    """Take `count` optimiser steps of a stage in place; returns the seconds of each."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        steps = steps_of_stage(model, data, config, stage, Path(folder))
        for _ in range(count):
            start = time.perf_counter()
            next(steps)
            seconds.append(time.perf_counter() - start)
    return seconds
