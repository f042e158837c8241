"""The entries of a comparison: baselines by name, checkpoints by folder, and several runs of a recipe as one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recommender.adapters.shipped import resolve, shipped_checkpoints
from recommender.baselines import BASELINES, is_baseline, make_baseline
from recommender.config import Config
from recommender.errors import DataError, did_you_mean
from recommender.strict.json_documents import read_json_object

if TYPE_CHECKING:
    from recommender.data.catalogue import Catalogue

_GATE = "@gate"
"""Behind the baselines of a fusion: its weights depend on the history."""
# may differ between the runs of one recipe: the seed, and where and how fast they were made
_RUN_KEYS = ("seed", "base.device", "encoders.cache", "encoders.batch_size", "training.checkpoint_minutes")


@dataclass(frozen=True)
class Entry:
    """One row of the table.

    folders: the checkpoints that are its runs; none for a baseline. fused: the baselines that rank with the checkpoint.
    gated: the weights of the fusion depend on the history.
    """

    name: str
    folders: tuple[str, ...] = ()
    fused: tuple[str, ...] = ()
    gated: bool = False


def parse_entries(texts: Sequence[str]) -> tuple[Entry, ...]:
    """Read entries: baselines (see `make_baseline`), checkpoint folders, NAME=FOLDER,FOLDER,... for several runs of one
    recipe, and FOLDER+BASELINE+... for a checkpoint fused with baselines, with @gate behind it for weights that depend
    on the history.

    Raises DataError for a name or a folder that is given twice, and for what is neither folder nor baseline.
    """
    entries = tuple(_parse_entry(text) for text in texts)
    _check_distinct([entry.name for entry in entries], "model", "give each once, or another name: NAME=FOLDER")
    _check_distinct([str(resolve(folder)) for e in entries if not e.fused for folder in e.folders], "checkpoint")
    return entries


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read "0,1,2". Raises DataError."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and part.isascii() for part in parts):
        raise DataError(f"seeds are {text!r}, expected whole numbers from 0 on, with commas", "for example 0,1,2")
    seeds = tuple(map(int, parts))
    _check_distinct([str(seed) for seed in seeds], "seed")
    return seeds


def folders_of(entries: Sequence[Entry]) -> list[str]:
    """Return the checkpoint folders of all entries."""
    return [folder for entry in entries for folder in entry.folders]


def check_entries(entries: Sequence[Entry], catalogue: Catalogue, split: str, moment: float | None = None) -> None:
    """Check the checkpoints' files, without loading weights, so that errors come before hours of work.

    split: leave-one-out, time, folds, or anything else for targets that are given; moment: of a split by time.
    Raises CheckpointError for an incomplete folder or one of another catalogue, DataError for checkpoints of two
    catalogues, for runs of one model that differ by more than their seed, and for checkpoints trained on the targets.
    """
    folders = folders_of(entries)
    _check_one_catalogue(folders, catalogue)
    for folder in folders:
        _check_untrained_on_targets(folder, split, moment)
    for entry in entries:
        _check_one_recipe(entry)


def _parse_entry(text: str) -> Entry:
    if is_baseline(text):
        make_baseline(text)  # raises for wrong settings
        return Entry(text)
    if fused := _parse_fused(text):
        return fused
    name, sign, folders = text.partition("=")
    if not sign or resolve(text).exists():  # the name of a folder may contain the sign
        if not resolve(text).exists() and "/" not in text:
            hint = did_you_mean(text, [*BASELINES, *shipped_checkpoints()])
            raise DataError(f"{text!r} is neither a checkpoint folder nor a baseline", hint)
        return Entry(text, (text,))
    parts = tuple(part.strip() for part in folders.split(","))
    if not name or not all(parts):
        raise DataError(f"{text!r}: expected NAME=FOLDER,FOLDER", "for example mine=runs/seed0,runs/seed1")
    return Entry(name, parts)


def _parse_fused(text: str) -> Entry | None:
    """Return the entry of FOLDER+BASELINE+..., None if the text is not of this kind."""
    gated = text.endswith(_GATE)
    checkpoint, *baselines = text.removesuffix(_GATE).split("+")
    if not baselines or resolve(text).exists():  # the name of a folder may contain the sign
        return None
    for name in baselines:
        make_baseline(name)
    _check_distinct(baselines, "baseline")
    entry = _parse_entry(checkpoint)
    if not entry.folders:
        raise DataError(
            f"{text!r}: {checkpoint!r} is no checkpoint", "fuse a checkpoint with baselines: FOLDER+BASELINE"
        )
    name = "+".join([entry.name, *baselines]) + _GATE * gated
    return Entry(name, entry.folders, tuple(baselines), gated)


def _check_distinct(names: Sequence[str], kind: str, hint: str = "give each once") -> None:
    repeated = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if repeated is not None:
        raise DataError(f"the {kind} {repeated} is given twice", hint)


def _check_one_catalogue(folders: Sequence[str], catalogue: Catalogue) -> None:
    # here: torch comes with it, and entries are read before that
    from recommender.model.checkpoint import item_ids_of
    from recommender.model.manifest import catalogue_facts, read_manifest
    from recommender.model.same_catalogue import check_catalogue

    manifests = {folder: read_manifest(resolve(folder)) for folder in folders}
    catalogues = {folder: catalogue_facts(resolve(folder), manifest) for folder, manifest in manifests.items()}
    for folder in folders[1:]:
        if catalogues[folder]["fingerprint"] != catalogues[folders[0]]["fingerprint"]:
            both = " and ".join(f"{name} ({catalogues[name]['items']} items)" for name in (folders[0], folder))
            raise DataError(f"{both} were trained on different catalogues", "compare each with baselines on its own")
    for folder, manifest in manifests.items():
        facts = _config(folder).data.facts
        check_catalogue(Path(folder), manifest, catalogue, partial(item_ids_of, folder), None, facts)


def _check_untrained_on_targets(folder: str, split: str, moment: float | None) -> None:
    """Raise DataError if a checkpoint may have learnt from the targets of the split."""
    if split == "folds":
        raise DataError(
            f"{folder}: folds fit a model anew for users it has never seen, and a checkpoint has seen them all",
            "compare baselines, or use --split leave-one-out",
        )
    if split == "time" and not _trained_before(folder, moment):
        kept = "each user's last two interactions" if _config(folder).training.keep_test_out else "nothing"
        raise DataError(
            f"{folder}: its training kept {kept} out, whatever the time; "
            f"nothing says that it was trained only on interactions before {moment:.15g}",
            "train it on those, record trained_before in its card, or compare baselines",
        )
    if split == "leave-one-out" and not _config(folder).training.keep_test_out:
        raise DataError(
            f"{folder}: was trained on the targets of leave-one-out, too", "give later targets: --test FILE"
        )


def _trained_before(folder: str, moment: float | None) -> bool:
    metrics = read_json_object(resolve(folder) / "metrics.json", "table of metrics", nan_is_null=True)
    trained_before = metrics.get("trained_before")
    if moment is None or isinstance(trained_before, bool) or not isinstance(trained_before, int | float):
        return False
    return trained_before <= moment


def _check_one_recipe(entry: Entry) -> None:
    """Raise DataError if the runs of an entry differ by more than their seed, or not even by that.

    Stages that teach only writing or listening may differ: ranking does not depend on them.
    """
    if len(entry.folders) < 2:
        return
    configs = {folder: _flat(_ranking_recipe(_config(folder))) for folder in entry.folders}
    first = entry.folders[0]
    for folder in entry.folders[1:]:
        keys = configs[first].keys() | configs[folder].keys()
        differences = sorted(k for k in keys - set(_RUN_KEYS) if configs[first].get(k) != configs[folder].get(k))
        if differences:
            raise DataError(
                f"{entry.name}: {first} and {folder} are not runs of one recipe: {differences[0]} differs",
                "name them as two models",
            )
    seeds = [str(configs[folder]["seed"]) for folder in entry.folders]
    _check_distinct(seeds, f"seed of {entry.name}", "give runs of different seeds: train --set seed=1")


def _ranking_recipe(config: Config) -> dict[str, Any]:
    recipe = config.model_dump(mode="json")
    stages = recipe["training"]["stages"]
    recipe["training"]["stages"] = [stage for stage in stages if stage["stage"] not in ("explain", "converse")]
    return recipe


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings and lists by dotted keys."""
    if isinstance(tree, dict | list) and tree:
        inner = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {k: v for key, value in inner for k, v in _flat(value, f"{prefix}{key}.").items()}
    return {prefix.removesuffix("."): tree}


def _config(folder: str) -> Config:
    return Config.load(resolve(folder) / "config.yaml")
