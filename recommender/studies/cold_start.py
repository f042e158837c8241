"""A study of new items: some are left out of all training, then added, and the whole catalogue is ranked.

The cold items are a random share of the items with interactions. A user's target is the last cold item of their
history, the input the known items before it; nothing later is learnt from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from recommender.config import CONTENT_MODALITIES, ColumnsConfig, Config
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories
from recommender.data.written_tables import write_csv, write_items
from recommender.errors import CheckpointError, DataError
from recommender.eval.evaluation import Evaluation
from recommender.model.checkpoint import item_ids_of, save_pretrained
from recommender.model.manifest import MANIFEST
from recommender.pipelines.extend import load_extended
from recommender.pipelines.train import load_catalogue
from recommender.progress import Progress
from recommender.studies.ablation import train_once
from recommender.studies.comparison import EvaluationOptions, evaluate

UNLISTED = "unlisted"
"""The name of the first recipe's model while it lists no new item."""
BASELINES = ("vector-content", "tfidf-content", "popularity")


@dataclass(frozen=True)
class ColdSplit:
    """cold: bool [items]. histories: indices of known items for each user. targets: int64 [users], -1 for none."""

    cold: np.ndarray
    user_ids: tuple[str, ...]
    histories: tuple[np.ndarray, ...]
    targets: np.ndarray


def leave_items_out(histories: Histories, items: int, share: float, seed: int = 0) -> ColdSplit:
    """Draw a share of the items with interactions, and cut every history before its last cold item.

    Raises DataError if no item is left out or no user has a target and a history.
    """
    if not 0 < share < 1:
        raise DataError(f"share is {share:g}, expected more than 0 and less than 1", "for example 0.1")
    occurring = np.unique(np.concatenate(histories.items))
    drawn = np.random.default_rng(seed).choice(occurring, int(share * len(occurring)), replace=False)
    cold = np.zeros(items, dtype=bool)
    cold[drawn] = True
    known_histories, targets = [], np.full(len(histories), -1, dtype=np.int64)
    for user, history in enumerate(histories.items):
        cold_positions = np.flatnonzero(cold[history])
        end = cold_positions[-1] if len(cold_positions) else len(history)
        known = history[:end][~cold[history[:end]]]
        if len(cold_positions) and len(known):
            targets[user] = history[end]
        known_histories.append(known)
    if not (targets >= 0).any():
        raise DataError("no user has a cold item after a known one, so there is nothing to test", "raise the share")
    return ColdSplit(cold, tuple(histories.user_ids), tuple(known_histories), targets)


@dataclass(frozen=True)
class ColdStartEvaluations:
    """cold: the targets are cold items. known: each user's last known item, which shows what listing new items costs."""

    cold: Evaluation
    known: Evaluation


@dataclass(frozen=True)
class ColdStartOptions:
    """How new items are studied.

    share: of the items that is left out; seed: which ones. fit_seeds: every recipe is trained once with each.
    times: how often a new item is listed, as a multiple of a known one (`pipelines.extend.load_extended`).
    users: evaluate an even sample of so many users; None: all.
    """

    share: float = 0.1
    seed: int = 0
    fit_seeds: Sequence[int] = (0,)
    times: float = 2.0
    users: int | None = None
    baselines: Sequence[str] = BASELINES


def cold_start_study(
    recipes: Mapping[str, Config],
    output: Path,
    options: ColdStartOptions | None = None,
    progress: Progress | None = None,
) -> ColdStartEvaluations:
    """Train on the known items, add the cold ones without training, and rank the whole catalogue for both kinds of target.

    `recipes`: name -> recipe, all over the same data. The first one (`ablation.variants` calls it `full`) also takes
    part as `unlisted`, while it lists no new item. Writes the tables of the split, and a folder for each training,
    below `output`; a killed study goes on where it was. Raises DataError, CheckpointError, AssetError.
    """
    if UNLISTED in recipes:
        raise DataError(f"{UNLISTED!r} names the model that lists no new item", "give the variant another name")
    _check_content(recipes)
    options = options or ColdStartOptions()
    _write_tables(*_split(next(iter(recipes.values())), options, progress), output)
    entries = [
        f"{name}={','.join(map(str, folders))}"
        for name, folders in _train_all(recipes, output, options, progress).items()
    ]
    evaluated = partial(
        evaluate,
        [*entries, *options.baselines],
        str(output / "items.jsonl"),
        str(output / "interactions.csv"),
        options=EvaluationOptions(users=options.users, fit_seeds=options.fit_seeds),
        config=Config(),
        progress=progress,
    )
    return ColdStartEvaluations(evaluated(test=str(output / "targets.csv")), evaluated())


def _check_content(recipes: Mapping[str, Config]) -> None:
    """Raise DataError, before anything is trained, for a recipe by which new items are like no others."""
    for name, config in recipes.items():
        if not any(getattr(config.encoders, modality) for modality in CONTENT_MODALITIES):
            reads = ", ".join(CONTENT_MODALITIES)
            message = f"{name!r} reads no content ({reads} are all off), so it cannot tell new items apart"
            raise DataError(message, "leave one encoder on, as encoders.text, or leave the recipe out")


def _split(config: Config, options: ColdStartOptions, progress: Progress | None) -> tuple[ColdSplit, Catalogue]:
    catalogue = load_catalogue(config, progress)
    histories = Histories.load(config.data.interactions, catalogue, config.data, config.data.minimum_rating)
    return leave_items_out(histories, len(catalogue), options.share, options.seed), catalogue


def _train_all(
    recipes: Mapping[str, Config], output: Path, options: ColdStartOptions, progress: Progress | None
) -> dict[str, list[Path]]:
    """Train every recipe with every seed and add the cold items; returns entry -> the folders of its runs."""
    folders: dict[str, list[Path]] = {}
    first = next(iter(recipes))
    for name, config in recipes.items():
        for seed in options.fit_seeds:
            known = _train_on_known(config.updated({"seed": seed}), output, f"{name}-seed{seed}", progress)
            extended = _extend(known, output, f"extended-{options.times:g}", options.times, progress)
            folders.setdefault(name, []).append(extended)
            if name == first:
                folders.setdefault(UNLISTED, []).append(_extend(known, output, UNLISTED, 0.0, progress))
    return folders


def _train_on_known(config: Config, output: Path, name: str, progress: Progress | None) -> Path:
    """Train on the known items unless that is done; return the checkpoint's folder."""
    tables = {"data.items": str(output / "known.jsonl"), "data.interactions": str(output / "interactions.csv")}
    plain = {"data.columns": ColumnsConfig().model_dump(), "data.standin_media": False, "data.minimum_rating": None}
    plain |= {"data.items_table": {}, "data.interactions_table": {}}
    folder = output / name / "known"
    train_once(config.updated(tables | plain), folder, f"the known items of {name}", progress)
    if item_ids_of(folder) != list(Catalogue.load(str(output / "known.jsonl"), media=False).item_ids):
        raise CheckpointError(f"{folder}: was trained on other known items", "remove it, or name another output")
    return folder


def _extend(known: Path, output: Path, name: str, times: float, progress: Progress | None) -> Path:
    """Add the cold items to a checkpoint unless that is done; return the new checkpoint's folder, beside `known`."""
    folder = known.with_name(name)
    if not (folder / MANIFEST).is_file():
        save_pretrained(load_extended(known, str(output / "items.jsonl"), progress, times=times), folder)
    return folder


def _write_tables(split: ColdSplit, catalogue: Catalogue, output: Path) -> None:
    """Write all items, the known items, the interactions that may be learnt from, and the targets, as input tables."""
    output.mkdir(parents=True, exist_ok=True)
    write_items(output / "items.jsonl", catalogue)
    write_items(output / "known.jsonl", [item for item, cold in zip(catalogue, split.cold, strict=True) if not cold])
    interactions = (
        (user, catalogue[int(item)].item_id, position)
        for user, history in zip(split.user_ids, split.histories, strict=True)
        for position, item in enumerate(history)
    )
    write_csv(output / "interactions.csv", ("user_id", "item_id", "position"), interactions)
    targets = zip(split.user_ids, split.targets.tolist(), strict=True)
    with_target = ((user, catalogue[target].item_id) for user, target in targets if target >= 0)
    write_csv(output / "targets.csv", ("user_id", "item_id"), with_target)
