"""Compare checkpoints and baselines on the same histories and targets, through the same evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from recommender.baselines import FitData, ItemContent
from recommender.baselines.fit_cache import FitCache
from recommender.baselines.ranking import RankFunction
from recommender.config import ColumnsConfig, Config
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories
from recommender.encoders.features import Features
from recommender.engine import Recommender
from recommender.errors import DataError
from recommender.eval.beyond import ItemFacts
from recommender.eval.evaluation import Evaluation
from recommender.eval.protocol import Fit, evaluate
from recommender.fusion.weights import fuse
from recommender.model.checkpoint import resolve
from recommender.pipelines import train
from recommender.progress import Progress
from recommender.studies.attributes import attributes_of
from recommender.studies.entries import Entry, check_entries, parse_entries
from recommender.studies.splits import by_table, hold_out


@dataclass(frozen=True)
class _Ranked:
    """A checkpoint as the evaluation sees it: histories in, ranked item indices out, -1 where there are no more."""

    model: Recommender

    def __call__(self, histories: Sequence[np.ndarray], k: int) -> np.ndarray:
        out = np.full((len(histories), k), -1, dtype=np.int64)
        for row, ranking in enumerate(self.model.rank(histories, k)):
            out[row, : len(ranking.items)] = ranking.items
        return out


def compare(
    names: Sequence[str],
    items: str,
    interactions: str,
    test: str | None = None,
    columns: ColumnsConfig | None = None,
    minimum_rating: float | None = None,
    users: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    split: str = "leave-one-out",
    folds: int = 5,
    seeds: Sequence[int] = (0,),
    attribute: str | None = None,
    config: Config | None = None,
) -> Evaluation:
    """Evaluate checkpoint folders and baseline names in one table; NAME=FOLDER,FOLDER are runs of one recipe.

    FOLDER+BASELINE+... is a checkpoint fused with baselines, on weights that are fitted on validation targets. A baseline
    that ranks alone and in fusions is fitted once, and its seconds stand with whoever asked first and in its own row.

    Histories come from `interactions`; targets from `test` (user_id, item_id), else from `split` (see splits.py).
    `users` takes an even sample. Baselines are fitted on what is not held out, once a seed of `seeds`. `seed` is that of
    the bootstrap and of the folds. `attribute`: what diversity and calibration go by, by default the one that tells
    kinds of items apart. Baselines that know the items' content take the vectors of the first checkpoint; without one
    the items are encoded, when such a baseline asks, as `config` says: its encoders and its stand-in media. Raises
    DataError.
    """
    if users is not None and users < 1:
        raise DataError(f"users is {users}, expected 1 or more", "leave it out to evaluate everybody")
    if test is not None and split != "leave-one-out":
        raise DataError(f"targets are given, so there is nothing to split by {split}", "leave out --test or --split")
    entries = parse_entries(names)
    columns = columns or ColumnsConfig()
    catalogue = Catalogue.load(items, columns, media=False)
    histories = Histories.load(interactions, catalogue, columns, minimum_rating)
    holdout = (
        hold_out(histories, catalogue, split, folds, seed)
        if test is None
        else by_table(test, histories, catalogue, columns)
    )
    check_entries(entries, catalogue, split if test is None else "given", holdout.details.get("moment"))
    read = (config or Config()).updated({"data.items": items, "data.columns": columns.model_dump()})
    content = _content(catalogue, entries, read, progress)
    fit_cache = FitCache([name for one in entries for name in one.fused])
    baseline = partial(_baseline, fit_cache=fit_cache, content=content, progress=progress)
    fusions: dict[str, Any] = {}
    checkpoint = partial(
        _checkpoint, catalogue=catalogue, content=content, fit_cache=fit_cache, fusions=fusions, progress=progress
    )
    evaluation = evaluate(
        {one.name: _fits(one, seeds, baseline, checkpoint) for one in entries},
        holdout.sampled(users),
        _facts(catalogue, entries, attribute),
        seed=seed,
        progress=progress,
    )
    about = {**evaluation.about, "fusions": fusions, "interactions_dropped": histories.report.dropped}
    return replace(_named(evaluation, histories, catalogue), about=about)


def _fits(
    one: Entry, seeds: Sequence[int], baseline: Callable[..., Fit], checkpoint: Callable[..., Fit]
) -> dict[str, Fit]:
    """Return the runs of a entry: the folders of a checkpoint, a baseline once a seed."""
    if one.folders:
        return {folder: checkpoint(folder, one.fused) for folder in one.folders}
    return {f"seed {seed}": baseline(one.name, seed) for seed in seeds}


def _baseline(name: str, seed: int, fit_cache: FitCache, content: ItemContent, progress: Progress | None) -> Fit:
    def fit(learn: Sequence[np.ndarray]) -> RankFunction:
        return fit_cache.fit(name, FitData(learn, len(content.texts), content, seed, progress))

    return fit


def _checkpoint(
    folder: str,
    fused: Sequence[str],
    catalogue: Catalogue,
    content: ItemContent,
    fit_cache: FitCache,
    fusions: dict[str, Any],
    progress: Progress | None,
) -> Fit:
    """Return what loads a checkpoint; if it is fused, `fusions` is told the weights and the seconds of each scorer."""

    def fit(learn: Sequence[np.ndarray]) -> RankFunction:
        model = Recommender.from_pretrained(folder, catalogue, progress)
        if not fused:
            return _Ranked(model)
        score = partial(model.score, candidates=range(len(catalogue)))
        data = FitData(learn, len(catalogue), content, progress=progress)
        together = fuse(folder, score, {name: partial(fit_cache.make, name) for name in fused}, data, progress)
        fusions["+".join([folder, *fused])] = {"weights": together.weights, "seconds": together.seconds}
        return together

    return fit


def _content(catalogue: Catalogue, entries: Sequence[Entry], config: Config, progress: Progress | None) -> ItemContent:
    """Return what baselines may know of the items; media are read and encoded only when their vectors are asked for."""
    folders = [folder for one in entries for folder in one.folders]

    def encode() -> Features:
        if folders:
            features = Features.load(resolve(folders[0]) / "features.safetensors")
        else:
            items = train.load_catalogue(config, progress)
            features = train.encode(config.updated({"encoders.collaborative_width": 0}), items, (), progress)
        # collaborative vectors come from histories, and these may hold what the split holds out
        return features.content()

    return ItemContent([catalogue.document(index) for index in range(len(catalogue))], encode)


def _facts(catalogue: Catalogue, entries: Sequence[Entry], attribute: str | None) -> ItemFacts:
    """Return what is known of the items; text vectors are those of the first checkpoint, if there is one."""
    lacking = {
        "image": [item.image is None for item in catalogue],
        "sound": [item.audio is None for item in catalogue],
        "text": [not item.text for item in catalogue],
    }
    folders = [folder for one in entries for folder in one.folders]
    vectors = Features.load(resolve(folders[0]) / "features.safetensors").vectors.get("text") if folders else None
    return ItemFacts(attributes_of(catalogue, attribute), vectors, {m: np.array(mask) for m, mask in lacking.items()})


def _named(evaluation: Evaluation, histories: Histories, catalogue: Catalogue) -> Evaluation:
    """Return the evaluation with ids in place of positions."""
    users, items = np.array(histories.user_ids, dtype=object), np.array(catalogue.item_ids, dtype=object)
    asked = evaluation.users
    return replace(
        evaluation,
        per_user=evaluation.per_user.assign(user=users[evaluation.per_user["user"].to_numpy()]),
        users=asked.assign(user=users[asked["user"].to_numpy()], target=items[asked["target"].to_numpy()]),
    )
