"""Compares checkpoints and baselines on the same histories and targets, through one evaluation protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from recommender.baselines import FitData, ItemContent
from recommender.baselines.fit_cache import FitCache
from recommender.baselines.fusion.gate import FEATURES
from recommender.baselines.fusion.weights import FittedFusion, fit_fusion
from recommender.baselines.topk import RankFunction
from recommender.cluster import Cluster
from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories, leave_one_out
from recommender.encoders.features import Features
from recommender.engine import Recommender
from recommender.errors import DataError, import_extra
from recommender.eval.beyond_accuracy import ItemFacts
from recommender.eval.evaluation import Evaluation
from recommender.eval.holdout import Holdout
from recommender.eval.protocol import Fit, evaluate_models
from recommender.files import check_output_folder, locked
from recommender.model.checkpoint import resolve
from recommender.pipelines import train
from recommender.progress import Progress
from recommender.studies.attributes import attributes_of
from recommender.studies.cluster_rankings import RankingOnCluster, forget_rankings
from recommender.studies.entries import Entry, check_entries, folders_of, parse_entries
from recommender.studies.rankings import rank_histories
from recommender.studies.splits import by_table, split_by_name
from recommender.studies.unseen_targets import check_targets_unseen
from recommender.studies.within import Within


@dataclass(frozen=True)
class EvaluationOptions:
    """How models are compared.

    split: what is held out if no targets are given: leave-one-out, time or folds (see splits.py).
    folds: number of folds of the split `folds`.
    users: evaluate an even sample of so many users; None: all.
    seed: of the bootstrap and of the folds.
    fit_seeds: every baseline is fitted once with each of these seeds.
    attribute: the attribute for diversity and calibration; None: the one that best tells kinds of items apart.
    only: attribute -> values: only targets and items that have one of them, as if that were the whole catalogue.
    cluster: where checkpoints rank; None: here. Baselines, and checkpoints that are fused with some, rank here in any case.
    """

    split: str = "leave-one-out"
    folds: int = 5
    users: int | None = None
    seed: int = 0
    fit_seeds: Sequence[int] = (0,)
    attribute: str | None = None
    only: Mapping[str, Sequence[str]] | None = None
    cluster: Cluster | None = None


def evaluate(
    entries: Sequence[str],
    items: str | None = None,
    interactions: str | None = None,
    *,
    test: str | None = None,
    output: str | Path | None = None,
    options: EvaluationOptions | None = None,
    config: Config | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Compare checkpoints and baselines in one table: the whole catalogue is ranked for every user.

    entries: checkpoint folders or names of shipped adapters; baseline names (NAME or NAME:KEY=VALUE);
        FOLDER+BASELINE+... for a checkpoint fused with baselines, with weights fitted on validation targets, and
        FOLDER+BASELINE+...@gate with weights that depend on the history;
        NAME=FOLDER,FOLDER for the runs of one recipe as one model. The first entry is the reference of all differences.
    items, interactions: tables or names of data sets, by default those of `config`.
    test: a table of targets, user_id and item_id; by default targets are held out as `options.split` says.
    output: a folder for the report (report.html, metrics.json, parquet tables).
    config: columns, minimum rating, and the encoders for baselines that need the items' content; by default the config
        of the first checkpoint. With a checkpoint among the entries its vectors are used, and nothing is encoded.

    A baseline that stands alone and in fusions is fitted once. Raises RecommenderError before any model is loaded
    if something cannot be compared.

        evaluate(["movielens-100k", "popularity"], options=EvaluationOptions(users=100)).summary
    """
    options = options or EvaluationOptions()
    if options.users is not None and options.users < 1:
        raise DataError(f"users is {options.users}, expected 1 or more", "leave it out to evaluate everybody")
    if test is not None and options.split != "leave-one-out":
        raise DataError(
            f"targets are given, so there is nothing to split by {options.split}", "leave out --test or --split"
        )
    if output is not None:
        check_output_folder(Path(output))
        import_extra("matplotlib", "a report", "eval")
    parsed = parse_entries(entries)
    config = _with_tables(config or _config_of(folders_of(parsed)), items, interactions)
    if options.cluster is not None and options.only:
        raise DataError("a cluster ranks whole catalogues, and only a part is to be ranked", "leave out --on or --only")
    if options.cluster is not None and output is None:
        raise DataError("what a cluster has ranked is kept in the output until all is, and none is named", "name one")
    comparison = _Comparison(parsed, config, test, options, progress, None if output is None else Path(output))
    if output is None:
        return comparison.run()
    from recommender.eval.report import write_report  # here: its plots need matplotlib

    with locked(Path(output), "evaluate"):
        evaluation = comparison.run()
        write_report(evaluation, output)
        forget_rankings(Path(output))
    return evaluation


def _config_of(folders: Sequence[str]) -> Config:
    """Return the config of the first checkpoint, or the defaults."""
    path = resolve(folders[0]) / "config.yaml" if folders else None
    return Config.load(path) if path is not None and path.is_file() else Config()


def _with_tables(config: Config, items: str | None, interactions: str | None) -> Config:
    tables = {"data.items": items, "data.interactions": interactions}
    return config.updated({key: table for key, table in tables.items() if table is not None})


@dataclass(frozen=True)
class _Comparison:
    """One comparison; `config.data` names its tables."""

    entries: Sequence[Entry]
    config: Config
    test: str | None
    options: EvaluationOptions
    progress: Progress | None
    output: Path | None = None
    fusions: dict[str, Any] = field(default_factory=dict)

    def run(self) -> Evaluation:
        """Evaluate all entries. The checkpoints' files are checked before any model is loaded."""
        holdout = self._holdout()
        split = self.options.split if self.test is None else "given"
        check_entries(self.entries, self.catalogue, split, holdout.details.get("moment"))
        for folder in dict.fromkeys(folders_of(self.entries)):
            check_targets_unseen(folder, holdout, self.histories, self.catalogue)
        evaluation = evaluate_models(
            {entry.name: self._fits(entry) for entry in self.entries},
            holdout.sampled(self.options.users),
            self._item_facts(),
            seed=self.options.seed,
            progress=self.progress,
        )
        dropped = self.histories.report.dropped
        about = {**evaluation.about, "fusions": self.fusions, "interactions_dropped": dropped}
        return replace(_with_ids(evaluation, self.histories, self.catalogue), about=about)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The items."""
        return Catalogue.load(self.config.data.items, self.config.data, media=False)

    @cached_property
    def histories(self) -> Histories:
        """The histories of all users, the targets of a split included."""
        data = self.config.data
        return Histories.load(data.interactions, self.catalogue, data, data.minimum_rating)

    @cached_property
    def content(self) -> ItemContent:
        """The items' texts and vectors; media are read and encoded only when a baseline needs the vectors."""
        return ItemContent([self.catalogue.document(index) for index in range(len(self.catalogue))], self._encode)

    @cached_property
    def fit_cache(self) -> FitCache:
        """Fits of the baselines that take part in fusions."""
        return FitCache([name for entry in self.entries for name in entry.fused])

    def _holdout(self) -> Holdout:
        options = self.options
        if self.test is not None:
            holdout = by_table(self.test, self.histories, self.catalogue, self.config.data)
        else:
            holdout = split_by_name(self.histories, self.catalogue, options.split, options.folds, options.seed)
        return holdout if self.within is None else self.within.of_holdout(holdout)

    @cached_property
    def within(self) -> Within | None:
        """The part of the catalogue that is ranked; None: all of it."""
        return Within.of(self.catalogue, self.options.only) if self.options.only else None

    def _fits(self, entry: Entry) -> dict[str, Fit]:
        """Return the runs of an entry: the folders of a checkpoint, or a baseline once a seed."""
        if entry.folders:
            return {folder: partial(self._load_checkpoint, folder, entry) for folder in entry.folders}
        return {f"seed {seed}": partial(self._fit_baseline, entry.name, seed) for seed in self.options.fit_seeds}

    def _fit_baseline(self, name: str, seed: int, learn: Sequence[np.ndarray]) -> RankFunction:
        fitted = self.fit_cache.fit(name, self._fit_data(learn, seed))
        return fitted if self.within is None else self.within.ranked(fitted.baseline.scores, fitted.fit_seconds)

    def _load_checkpoint(self, folder: str, entry: Entry, learn: Sequence[np.ndarray]) -> RankFunction:
        """Load a checkpoint, and fuse it with baselines if there are any; notes the weights and seconds of a fusion."""
        cluster, output = self.options.cluster, self.output
        if cluster is not None and output is not None and not entry.fused:
            return RankingOnCluster(cluster, folder, self.config.data, output, self.progress)
        engine = Recommender.from_pretrained(folder, self.catalogue, self.progress)
        if not entry.fused:
            return partial(rank_histories, engine) if self.within is None else self.within.ranking(engine)
        score = partial(engine.score, candidates=range(len(self.catalogue)))
        baselines = {name: partial(self.fit_cache.make, name) for name in entry.fused}
        unlearned = self._unlearned_by(engine.config)
        data = self._fit_data(learn)
        fusion = fit_fusion(folder, score, baselines, data, self.progress, gated=entry.gated, unlearned=unlearned)
        self._note(folder, entry, fusion)
        return fusion if self.within is None else self.within.ranked(fusion.scores, fusion.fit_seconds)

    def _unlearned_by(self, config: Config) -> np.ndarray | None:
        """Return whose last known items a checkpoint has not learned, bool [users]; None: nobody's was."""
        validate_on = config.training.validate_on
        if validate_on is None or self.test is not None or self.options.split != "leave-one-out":
            return None
        return leave_one_out(self.histories, validate_on=validate_on).validation >= 0

    def _note(self, folder: str, entry: Entry, fusion: FittedFusion) -> None:
        noted: dict[str, Any] = {"weights": fusion.weights, "seconds": fusion.seconds}
        if fusion.gate is not None:
            slopes = {name: table.tolist() for name, table in fusion.gate.slopes.items()}
            noted["gate"] = {"features": FEATURES, "slopes": slopes, "ridge": fusion.ridge}
        self.fusions["+".join([folder, *entry.fused]) + "@gate" * entry.gated] = noted

    def _fit_data(self, learn: Sequence[np.ndarray], seed: int = 0) -> FitData:
        return FitData(learn, len(self.catalogue), self.content, seed, self.progress)

    def _encode(self) -> Features:
        """Return the items' vectors: those of the first checkpoint, or else encoded as the config says."""
        features = self._checkpoint_features()
        if features is None:
            config = self.config.updated({"encoders.collaborative_width": 0, "encoders.collaborative": None})
            features = train.encode(config, train.load_catalogue(self.config, self.progress), (), self.progress)
        # collaborative vectors come from histories, and those may hold targets
        return features.content()

    def _checkpoint_features(self) -> Features | None:
        folders = folders_of(self.entries)
        return Features.load(resolve(folders[0]) / "features.safetensors") if folders else None

    def _item_facts(self) -> ItemFacts:
        """Return attributes, lacking modalities and the text vectors of the first checkpoint, if there is one."""
        lacking = {
            "image": [item.image is None and item.video is None for item in self.catalogue],
            "sound": [item.audio is None and item.video is None for item in self.catalogue],
            "text": [not item.text for item in self.catalogue],
        }
        features = self._checkpoint_features()
        vectors = features.table("text") if features and "text" in features.vectors else None
        attributes = attributes_of(self.catalogue, self.options.attribute)
        masks = {modality: np.array(mask) for modality, mask in lacking.items()}
        return ItemFacts(attributes, vectors, masks, self._learned())

    def _learned(self) -> np.ndarray | None:
        """Return how many interactions of each item checkpoints learned, [items], if `data.users` kept most users from them.

        None beside baselines, which learn from all.
        """
        users, items = self.config.data.users, len(self.catalogue)
        trained = all(entry.folders and not entry.fused for entry in self.entries)
        if users is None or not trained or self.test is not None or self.options.split != "leave-one-out":
            return None
        known = leave_one_out(self.histories.sampled(users)).train.items
        return np.bincount(np.concatenate([np.empty(0, np.int64), *known]).astype(np.int64), minlength=items)


def _with_ids(evaluation: Evaluation, histories: Histories, catalogue: Catalogue) -> Evaluation:
    """Return the evaluation with user and item ids in place of positions."""
    user_ids, item_ids = np.array(histories.user_ids, dtype=object), np.array(catalogue.item_ids, dtype=object)
    users = evaluation.users
    return replace(
        evaluation,
        per_user=evaluation.per_user.assign(user=user_ids[evaluation.per_user["user"].to_numpy()]),
        users=users.assign(user=user_ids[users["user"].to_numpy()], target=item_ids[users["target"].to_numpy()]),
    )
