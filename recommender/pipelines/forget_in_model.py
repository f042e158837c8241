"""A checkpoint goes on without people who are gone: what learned from them is trained again, and takes its place."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recommender.adapters.shipped import check_own, manifest_digest
from recommender.baselines.fusion.stored import FUSION_FILE
from recommender.config import Config
from recommender.errors import CheckpointError, ConfigError
from recommender.model.card import FORGETTING
from recommender.model.checkpoint import CONFIG, METRICS, resolve
from recommender.model.manifest import claimed, read_manifest
from recommender.pipelines.fuse import fuse_checkpoint
from recommender.pipelines.left_out import NamedStore
from recommender.pipelines.train import train
from recommender.pipelines.versions import kept_versions
from recommender.progress import Progress
from recommender.strict.json_documents import read_json_object
from recommender.training import StageResult


@dataclass(frozen=True)
class Relearned:
    """What was done to a checkpoint. `before`, `after`: the sha256 of its manifest. `users`: how many it learns from.

    `shards`: the numbers of those that were trained again, from 1, of `all_shards`; empty where the whole model was.
    `lost`: parts that had been trained on users afterwards, and are not in the new version.
    """

    checkpoint: str
    before: str
    after: str
    users_before: int | None
    users: int
    way: str
    shards: tuple[int, ...]
    all_shards: int
    lost: tuple[str, ...]
    seconds: float

    def told(self) -> dict[str, Any]:
        """Return it for a receipt."""
        return vars(self) | {"shards": list(self.shards), "lost": list(self.lost)}


def forget_in_model(
    source: str | Path, progress: Progress | None = None, whole: bool = False, store: NamedStore | None = None
) -> Relearned:
    """Train a checkpoint again from the interactions as they are now, without whom the store forgot; replaces it.

    Of `training.forgetting` only the shards are trained that had learned from somebody who is gone, and the result equals a
    training that never had them. Another checkpoint is trained again as a whole, if `whole` says so. Fused baselines are
    counted and weighed anew. `store`: the store that says who is gone, by default the config's. Until the new version is
    whole the old one stays. Raises ConfigError, CheckpointError and what training raises.
    """
    folder = resolve(source)
    check_own(folder, "learned from none of your users")
    read_manifest(folder)
    config = Config.load(folder / CONFIG)
    metrics = read_json_object(folder / METRICS, "table of metrics", "copy the checkpoint again", CheckpointError)
    if config.training.forgetting is None and not whole:
        raise ConfigError(
            f"{source}: was trained in one piece, so to forget somebody all of it is trained again",
            "say --whole; or train with training.forgetting, which makes it shorter",
        )
    before, started = manifest_digest(folder), time.monotonic()
    with claimed(folder, "forgetting"):
        result = train(config, folder, progress, recipe=metrics.get("recipe"), store=store)
        fused = metrics.get("fused_with") or {}
        if (folder / FUSION_FILE).is_file() or fused:
            fuse_checkpoint(str(folder), list(fused.get("baselines", ())), folder, None, progress, store)
        for version in kept_versions(folder):  # they had learned from those who are gone
            shutil.rmtree(version)
    forgetting = config.training.forgetting
    return Relearned(
        folder.resolve().name,
        before,
        manifest_digest(folder),
        (metrics.get(FORGETTING) or {}).get("users"),
        result.users,
        "whole" if forgetting is None else forgetting.way,
        result.shards,
        0 if forgetting is None else forgetting.shards,
        _lost(metrics, result.stages),
        round(time.monotonic() - started, 1),
    )


def _lost(metrics: dict[str, Any], stages: Sequence[StageResult]) -> tuple[str, ...]:
    """Return the stages that had been trained beside the recipe, and are not in the new version."""
    before = dict.fromkeys(stage["stage"] for stage in metrics.get("stages", []))
    return tuple(name for name in before if name not in {stage.stage for stage in stages})
