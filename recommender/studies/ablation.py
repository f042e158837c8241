"""An ablation: a recipe with and without each of its parts, over seeds, in one table with paired differences."""

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
from recommender.studies.comparison import EvaluationOptions, evaluate

FULL = "full"
"""The name of the recipe as it is."""

WITHOUT_MODALITY: dict[str, dict[str, Any]] = {
    m: {f"encoders.{m}": None} for m in MODALITIES if m != "collaborative"
} | {"collaborative": {"encoders.collaborative_width": 0, "encoders.collaborative": None}}
"""Modality -> the changes of a config that leave it out."""


def variants(
    config: Config, without: Sequence[str] = (), changed: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Config]:
    """Return the recipe under the name `full`, a variant without each of some modalities, and one with each change.

    `changed`: name -> dotted keys of the config and their values. Raises DataError for an unknown modality, for one
    that the recipe does not use, and for a name that is taken or invalid; ConfigError for a wrong key or value.
    """
    recipes = {FULL: config}
    for modality in without:
        if modality not in WITHOUT_MODALITY:
            hint = did_you_mean(modality, WITHOUT_MODALITY) or ", ".join(WITHOUT_MODALITY)
            raise DataError(f"no modality {modality!r}", hint)
        reduced = config.updated(WITHOUT_MODALITY[modality])
        if reduced == config:
            raise DataError(f"the recipe has no {modality} that could be left out", "leave it out of --without")
        recipes[f"without-{modality}"] = reduced
    for name, changes in (changed or {}).items():
        if name in recipes or name in BASELINES or any(sign in name for sign in "/=,+:"):
            raise DataError(
                f"{name!r} cannot name a variant", "give each its own name, not a baseline's, without / = , + :"
            )
        recipes[name] = config.updated(dict(changes), f"variant {name}")
    return recipes


def ablation_study(
    recipes: Mapping[str, Config],
    seeds: Sequence[int],
    output: Path,
    baselines: Sequence[str] = (),
    users: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Train every recipe once with each seed below `output`, then compare all by leave-one-out in one table.

    A killed study goes on where it was. `users`: evaluate an even sample. Raises CheckpointError if a folder holds a
    checkpoint of another configuration, DataError before any training if a recipe is of other items than the first.
    """
    _check_one_catalogue(recipes, progress)
    entries = []
    for name, config in recipes.items():
        folders = [output / f"{name}-seed{seed}" for seed in seeds]
        for seed, folder in zip(seeds, folders, strict=True):
            train_once(config.updated({"seed": seed}), folder, folder.name, progress)
        entries.append(f"{name}={','.join(map(str, folders))}")
    options = EvaluationOptions(users=users, fit_seeds=seeds)
    config = next(iter(recipes.values()))
    return evaluate([*entries, *baselines], options=options, config=config, progress=progress)


def _check_one_catalogue(recipes: Mapping[str, Config], progress: Progress | None) -> None:
    """Raise DataError where items, or what is known of them, differ: models of different ones share no table."""
    whole = next(iter(recipes.values()))
    other = {name: config for name, config in recipes.items() if config.data != whole.data}
    known = train.load_catalogue(whole, progress).fingerprint if other else ""
    for name, config in other.items():
        if train.load_catalogue(config, progress).fingerprint != known:
            raise DataError(
                f"variant {name}: its items, or their attributes, are not those of the recipe",
                "change nothing of data.items, data.columns and data.facts in a variant; make it a study of its own",
            )


def train_once(config: Config, folder: Path, name: str, progress: Progress | None = None) -> None:
    """Train into a folder unless that is done; `name`: for its card.

    Raises CheckpointError if the folder holds a checkpoint of another configuration.
    """
    if not (folder / MANIFEST).is_file():
        train.train(config, folder, progress, recipe=name)
    elif Config.load(folder / "config.yaml") != config:
        raise CheckpointError(f"{folder}: was trained with another configuration", "remove it, or name another output")
