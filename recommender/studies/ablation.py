"""An ablation: a recipe without each of its parts in turn, over seeds, in one table with paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recommender.baselines import BASELINES
from recommender.config import MODALITIES, Config
from recommender.errors import CheckpointError, DataError, did_you_mean
from recommender.eval.evaluation import Evaluation
from recommender.model.manifest import MANIFEST
from recommender.pipelines import train
from recommender.progress import Progress
from recommender.studies.comparison import compare

FULL = "full"
SWITCHES: dict[str, dict[str, Any]] = {m: {f"encoders.{m}": None} for m in MODALITIES if m != "collaborative"} | {
    "collaborative": {"encoders.collaborative_width": 0}
}


def variants(
    config: Config, without: Sequence[str] = (), changed: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Config]:
    """Return the recipe as it is under the name `full`, and by name once without each modality and once with each change.

    `changed`: name -> dotted keys of the config and their values. Raises DataError for a modality that there is not or
    that the recipe does not use, and for a name given twice; ConfigError for a wrong key or value.
    """
    found = {FULL: config}
    for modality in without:
        if modality not in SWITCHES:
            raise DataError(f"no modality {modality!r}", did_you_mean(modality, SWITCHES) or ", ".join(SWITCHES))
        less = config.updated(SWITCHES[modality])
        if less == config:
            raise DataError(f"the recipe has no {modality} that could be left out", "leave it out of --without")
        found[f"without-{modality}"] = less
    for name, changes in (changed or {}).items():
        if name in found or name in BASELINES or any(sign in name for sign in "/=,+:"):
            raise DataError(
                f"{name!r} cannot name a variant", "give each its own name, not a baseline's, without / = , + :"
            )
        found[name] = config.updated(dict(changes), f"variant {name}")
    return found


def ablate(
    recipes: Mapping[str, Config],
    seeds: Sequence[int],
    output: Path,
    baselines: Sequence[str] = (),
    users: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Train every recipe once a seed below `output`, then evaluate all by leave-one-out in one table.

    What a killed run has finished is kept, and what it had begun goes on. `users`: evaluate an even sample. Raises
    CheckpointError if a folder holds a checkpoint of another configuration.
    """
    names = []
    for name, config in recipes.items():
        folders = [output / f"{name}-seed{seed}" for seed in seeds]
        for seed, folder in zip(seeds, folders, strict=True):
            _train(config.updated({"seed": seed}), folder, progress)
        names.append(f"{name}={','.join(map(str, folders))}")
    data = next(iter(recipes.values())).data
    tables = (data.items, data.interactions, None, data.columns, data.minimum_rating)
    return compare([*names, *baselines], *tables, users, seeds=seeds, progress=progress)


def _train(config: Config, folder: Path, progress: Progress | None) -> None:
    if not (folder / MANIFEST).is_file():
        train.train(config, folder, progress, recipe=folder.name)
    elif Config.load(folder / "config.yaml") != config:
        raise CheckpointError(f"{folder}: was trained with another configuration", "remove it, or name another output")
