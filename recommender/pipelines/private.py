"""What the pipelines do for a private training, and what they refuse for a model that was trained so."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories
from recommender.errors import ConfigError, RecommenderError
from recommender.model.checkpoint import CONFIG, resolve
from recommender.model.trained_on import TrainedOn, digest_of
from recommender.training.loop import STATE
from recommender.training.private_counts import noisy_counts
from recommender.training.private_plan import COUNTS, Secret

#: of a folder of drawn histories: see `private_histories`
DRAWN, PROMISE = "interactions.csv", "privacy.json"


def promise_of(interactions: Any) -> dict[str, Any] | None:
    """Return the promise of a table of drawn histories; None for any other table, or one that was changed since."""
    if not isinstance(interactions, str) or Path(interactions).name != DRAWN:
        return None
    table = Path(interactions)
    try:
        promise = json.loads(table.with_name(PROMISE).read_text(encoding="utf-8"))
        same = promise["sha256"] == hashlib.sha256(table.read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return {name: value for name, value in promise.items() if name != "sha256"} if same else None


def private_counts(config: Config, train: Histories, items: int, work: Path) -> np.ndarray:
    """Return noisy counts of the items [items]; a resumed run draws the same again. `work`: the folder of its state."""
    privacy = config.training.privacy
    assert privacy is not None
    random = Secret.of(config, work, (work / STATE).is_file()).random(COUNTS)
    return noisy_counts(train.items, items, privacy.counts_noise, random)


def check_public_start(config: Config, earlier: TrainedOn | None, histories: Histories, catalogue: Catalogue) -> None:
    """Raise ConfigError if the adapter that a training begins with, which is to be private or to forget, was trained on the
    same interactions."""
    key = "training.privacy" if config.training.privacy is not None else "training.forgetting"
    while earlier is not None:
        if earlier.digest == digest_of(histories, catalogue):
            raise ConfigError(
                f"{key}: base.adapter was trained on these interactions, and would tell of them",
                "begin with a checkpoint that was trained on other users, or with base.adapter: null",
            )
        earlier = earlier.earlier


def refuse_private(source: str | Path, what: str) -> None:
    """Raise RecommenderError if a checkpoint was trained privately: `what` would add to it what has no noise."""
    if Config.load(resolve(source) / CONFIG).training.privacy is not None:
        raise RecommenderError(
            f"{source}: was trained with privacy, and {what} would learn from users without noise",
            "do it with a checkpoint that was trained without training.privacy",
        )
