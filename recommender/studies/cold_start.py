"""A study of new items: some are left out of all training, then added, and the full catalogue is ranked for who chose one.

The cold items are a random share of those that anyone has interacted with. A user's target is the last cold item that
they chose, their history the known items before it; nothing that came later is learnt from.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from recommender.config import ColumnsConfig, Config
from recommender.data.catalogue import Catalogue, Item
from recommender.data.histories import Histories
from recommender.errors import CheckpointError, DataError
from recommender.eval.evaluation import Evaluation
from recommender.files import replacing
from recommender.model.checkpoint import item_ids_of, save_pretrained
from recommender.model.manifest import MANIFEST
from recommender.pipelines import train
from recommender.pipelines.extend import load_extended
from recommender.progress import Progress
from recommender.studies.comparison import compare

UNLISTED = "unlisted"
BASELINES = ("vector-content", "tfidf-content", "popularity")


@dataclass(frozen=True)
class ColdSplit:
    """`cold` [items] bool; histories of catalogue indices a user, no cold item in them; `targets` [users], -1: none."""

    cold: np.ndarray
    user_ids: tuple[str, ...]
    histories: tuple[np.ndarray, ...]
    targets: np.ndarray


def leave_items_out(histories: Histories, items: int, share: float, seed: int = 0) -> ColdSplit:
    """Choose a share of the items that occur at random and cut every history before its last cold one.

    Raises DataError if that leaves no user with a target and a history, or no item out.
    """
    if not 0 < share < 1:
        raise DataError(f"share is {share:g}, expected more than 0 and less than 1", "for example 0.1")
    occurring = np.unique(np.concatenate(histories.items))
    chosen = np.random.default_rng(seed).choice(occurring, int(share * len(occurring)), replace=False)
    cold = np.zeros(items, dtype=bool)
    cold[chosen] = True
    known, targets = [], np.full(len(histories), -1, dtype=np.int64)
    for user, own in enumerate(histories.items):
        places = np.flatnonzero(cold[own])
        end = places[-1] if len(places) else len(own)
        before = own[:end][~cold[own[:end]]]
        if len(places) and len(before):
            targets[user] = own[end]
        known.append(before)
    if not (targets >= 0).any():
        raise DataError("no user has a cold item after a known one, so there is nothing to test", "raise the share")
    return ColdSplit(cold, histories.user_ids, tuple(known), targets)


@dataclass(frozen=True)
class Study:
    """Who chose a cold item, `cold`; and who chose a known one, `known`: what it costs them that new ones are listed."""

    cold: Evaluation
    known: Evaluation


def cold_start_study(
    recipes: Mapping[str, Config],
    output: Path,
    share: float = 0.1,
    seed: int = 0,
    baselines: Sequence[str] = BASELINES,
    times: float = 2.0,
    users: int | None = None,
    seeds: Sequence[int] = (0,),
    progress: Progress | None = None,
) -> Study:
    """Train on the known items, add the cold ones without training, and rank the whole catalogue for both kinds of target.

    `recipes`: name -> recipe over the same data, the first one (`ablation.variants` calls it `full`) beside what it is when
    it lists no new item, `unlisted`. `seed` chooses the cold items; every recipe is trained once a seed of `seeds`. `times`:
    see `extension.load_extended`; 0 for `unlisted`. `users`: evaluate an even sample. Writes the tables of the split and,
    for each training, a folder with its checkpoints below `output`; a killed run goes on. Raises DataError,
    CheckpointError, AssetError.
    """
    if UNLISTED in recipes:
        raise DataError(f"{UNLISTED!r} names the model that lists no new item", "give the variant another name")
    first, config = next(iter(recipes.items()))
    catalogue = train.load_catalogue(config, progress)
    histories = Histories.load(config.data.interactions, catalogue, config.data.columns, config.data.minimum_rating)
    split = leave_items_out(histories, len(catalogue), share, seed)
    _write_tables(split, catalogue, output)
    folders: dict[str, list[Path]] = {}
    for name, own in recipes.items():
        for number in seeds:
            made = _known(own.updated({"seed": number}), output, f"{name}-seed{number}", progress)
            folders.setdefault(name, []).append(_extended(made, output, f"extended-{times:g}", times, progress))
            if name == first:
                folders.setdefault(UNLISTED, []).append(_extended(made, output, UNLISTED, 0.0, progress))
    names = [f"{label}={','.join(map(str, own))}" for label, own in folders.items()]
    everything, interactions = str(output / "items.jsonl"), str(output / "interactions.csv")
    asked: dict[str, Any] = {"users": users, "seeds": seeds, "progress": progress}
    return Study(
        compare([*names, *baselines], everything, interactions, str(output / "targets.csv"), **asked),
        compare([*names, *baselines], everything, interactions, **asked),
    )


def _known(config: Config, output: Path, name: str, progress: Progress | None) -> Path:
    """Train on the known items unless that is done; return the checkpoint's folder."""
    files = {"data.items": str(output / "known.jsonl"), "data.interactions": str(output / "interactions.csv")}
    plain = {"data.columns": ColumnsConfig().model_dump(), "data.standin_media": False, "data.minimum_rating": None}
    folder, own = output / name / "known", config.updated(files | plain)
    if not (folder / MANIFEST).is_file():
        train.train(own, folder, progress, recipe=f"the known items of {name}")
    elif Config.load(folder / "config.yaml") != own:
        raise CheckpointError(f"{folder}: was trained with another configuration", "remove it, or name another output")
    elif item_ids_of(folder) != list(Catalogue.load(str(output / "known.jsonl"), media=False).item_ids):
        raise CheckpointError(f"{folder}: was trained on other known items", "remove it, or name another output")
    return folder


def _extended(known: Path, output: Path, kind: str, times: float, progress: Progress | None) -> Path:
    folder = known.with_name(kind)
    if not (folder / MANIFEST).is_file():
        save_pretrained(load_extended(known, str(output / "items.jsonl"), progress, times=times), folder)
    return folder


def _write_tables(split: ColdSplit, catalogue: Catalogue, output: Path) -> None:
    """Write all items, the known ones, what is known of who chose what, and the targets, as anyone would bring them."""
    output.mkdir(parents=True, exist_ok=True)
    _write(output / "items.jsonl", lambda file: _lines(file, catalogue))
    known = [item for item, cold in zip(catalogue, split.cold, strict=True) if not cold]
    _write(output / "known.jsonl", lambda file: _lines(file, known))
    users = list(zip(split.user_ids, split.histories, split.targets.tolist(), strict=True))
    taken = ((user, catalogue[int(i)].item_id, place) for user, own, _ in users for place, i in enumerate(own))
    _write(output / "interactions.csv", lambda file: _rows(file, ("user_id", "item_id", "position"), taken))
    asked = ((user, catalogue[target].item_id) for user, _, target in users if target >= 0)
    _write(output / "targets.csv", lambda file: _rows(file, ("user_id", "item_id"), asked))


def _write(path: Path, fill: Callable[[TextIO], None]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        fill(file)


def _lines(file: TextIO, items: Iterable[Item]) -> None:
    for item in items:
        row: dict[str, Any] = {"item_id": item.item_id, "title": item.title, "description": item.text}
        media = {"image": item.image, "audio": item.audio}
        row |= {name: str(path.absolute()) for name, path in media.items() if path}
        row |= {name: list(values) for name, values in item.attributes.items()}
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _rows(file: TextIO, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    writer = csv.writer(file)
    writer.writerow(header)
    writer.writerows(rows)
