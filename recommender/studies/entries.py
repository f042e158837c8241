"""Who takes part in a comparison: baselines by name and checkpoints by folder, the runs of a recipe as one model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recommender.baselines import BASELINES, is_baseline, make_baseline
from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.errors import CheckpointError, DataError, did_you_mean
from recommender.model.checkpoint import resolve
from recommender.model.manifest import read_manifest

# What may differ between the runs of one recipe: the seed, and where and how fast they were made.
_APART = ("seed", "base.device", "encoders.cache", "encoders.batch_size", "training.checkpoint_minutes")


@dataclass(frozen=True)
class Entry:
    """One row of the table. `folders`: its checkpoints, which differ by their seed; none for a baseline.

    `fused`: the baselines that rank together with the checkpoint.
    """

    name: str
    folders: tuple[str, ...] = ()
    fused: tuple[str, ...] = ()


def parse_entries(names: Sequence[str]) -> tuple[Entry, ...]:
    """Read baselines, with settings if wanted (see `make_baseline`), checkpoint folders, and NAME=FOLDER,FOLDER,...
    for several runs of one recipe.

    FOLDER+BASELINE+... is a checkpoint fused with baselines (see fusion.py).

    Raises DataError for a name or a folder that is given twice and for what is neither folder nor baseline.
    """
    found = tuple(_entry(name) for name in names)
    _distinct([one.name for one in found], "model", "give each once, or another name: NAME=FOLDER")
    _distinct([str(resolve(folder)) for one in found if not one.fused for folder in one.folders], "checkpoint")
    return found


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read "0,1,2". Raises DataError."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and part.isascii() for part in parts):
        raise DataError(f"seeds are {text!r}, expected whole numbers from 0 on, with commas", "for example 0,1,2")
    seeds = tuple(map(int, parts))
    _distinct([str(seed) for seed in seeds], "seed")
    return seeds


def check_entries(entries: Sequence[Entry], catalogue: Catalogue, split: str, moment: float | None = None) -> None:
    """Read the checkpoints' files, not their weights, so that what cannot be compared is said before hours of work.

    split: leave-one-out, time, folds, or anything else for targets that were given; moment: of a split by time.
    Raises CheckpointError for an incomplete folder or one of another catalogue, DataError for checkpoints of two
    catalogues, for runs in one model that differ by more than their seed, and for those that have seen the targets.
    """
    folders = [folder for one in entries for folder in one.folders]
    _one_catalogue(folders, catalogue)
    for folder in folders:
        _unseen(folder, split, moment)
    for one in entries:
        _one_recipe(one)


def _one_catalogue(folders: Sequence[str], catalogue: Catalogue) -> None:
    made_for = {folder: read_manifest(resolve(folder))["catalogue"] for folder in folders}
    for folder in folders[1:]:
        if made_for[folder]["fingerprint"] != made_for[folders[0]]["fingerprint"]:
            told = " and ".join(f"{name} ({made_for[name]['items']} items)" for name in (folders[0], folder))
            raise DataError(f"{told} were trained on different catalogues", "compare each with baselines on its own")
    for folder, made in made_for.items():
        if made["fingerprint"] != catalogue.fingerprint:
            raise CheckpointError(
                f"{folder}: made for another catalogue ({made['items']} items; this one has {len(catalogue)})",
                "give the items it was trained on: --items FILE",
            )


def _entry(text: str) -> Entry:
    if is_baseline(text):
        make_baseline(text)  # says what is wrong with its settings
        return Entry(text)
    if fused := _fused(text):
        return fused
    name, sign, folders = text.partition("=")
    if not sign or resolve(text).exists():  # a folder's name may hold the sign
        if not resolve(text).exists() and "/" not in text:
            hint = did_you_mean(text, BASELINES)
            raise DataError(f"{text!r} is neither a checkpoint folder nor a baseline", hint)
        return Entry(text, (text,))
    parts = tuple(part.strip() for part in folders.split(","))
    if not name or not all(parts):
        raise DataError(f"{text!r}: expected NAME=FOLDER,FOLDER", "for example mine=runs/seed0,runs/seed1")
    return Entry(name, parts)


def _fused(text: str) -> Entry | None:
    """Return the checkpoint and the baselines of FOLDER+BASELINE+..., None if the text is not of this kind."""
    base, *baselines = text.split("+")
    if not baselines or resolve(text).exists():  # a folder's name may hold the sign
        return None
    for name in baselines:
        make_baseline(name)
    _distinct(baselines, "baseline")
    one = _entry(base)
    if not one.folders:
        raise DataError(f"{text!r}: {base!r} is no checkpoint", "fuse a checkpoint with baselines: FOLDER+BASELINE")
    return Entry("+".join([one.name, *baselines]), one.folders, tuple(baselines))


def _distinct(names: Sequence[str], kind: str, hint: str = "give each once") -> None:
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise DataError(f"the {kind} {twice} is given twice", hint)


def _unseen(folder: str, split: str, moment: float | None) -> None:
    """Raise DataError if a checkpoint has learnt from what the split holds out."""
    if split == "folds":
        raise DataError(
            f"{folder}: folds fit a model anew for users it has never seen, and a checkpoint has seen them all",
            "compare baselines, or use --split leave-one-out",
        )
    if split == "time" and not _before(folder, moment):
        raise DataError(
            f"{folder}: nothing says that it was trained only on interactions before {moment:.15g}",
            "train it on those, record trained_before in its card, or compare baselines",
        )
    if split == "leave-one-out" and not _config(folder).training.keep_test_out:
        raise DataError(
            f"{folder}: was trained on the targets of leave-one-out, too", "give later targets: --test FILE"
        )


def _before(folder: str, moment: float | None) -> bool:
    metrics = json.loads((resolve(folder) / "metrics.json").read_text(encoding="utf-8"))
    trained = metrics.get("trained_before")
    return moment is not None and isinstance(trained, int | float) and trained <= moment


def _one_recipe(one: Entry) -> None:
    if len(one.folders) < 2:
        return
    configs = {folder: _flat(_config(folder).model_dump(mode="json")) for folder in one.folders}
    first = one.folders[0]
    for folder in one.folders[1:]:
        keys = configs[first].keys() | configs[folder].keys()
        differ = sorted(k for k in keys - set(_APART) if configs[first].get(k) != configs[folder].get(k))
        if differ:
            raise DataError(
                f"{one.name}: {first} and {folder} are not runs of one recipe: {differ[0]} differs",
                "name them as two models",
            )
    seeds = [str(configs[folder]["seed"]) for folder in one.folders]
    _distinct(seeds, f"seed of {one.name}", "give runs of different seeds: train --set seed=1")


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings and lists by dotted keys."""
    if isinstance(tree, dict | list) and tree:
        inner = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {k: v for key, value in inner for k, v in _flat(value, f"{prefix}{key}.").items()}
    return {prefix.removesuffix("."): tree}


def _config(folder: str) -> Config:
    return Config.load(resolve(folder) / "config.yaml")
