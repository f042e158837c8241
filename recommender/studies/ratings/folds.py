"""Stratified folds, and the data that a method may learn from in one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler

from recommender.encoders.collaborative import collaborative_vectors
from recommender.studies.ratings.media_features import MediaFeatures
from recommender.studies.ratings.rating_table import Ratings
from recommender.studies.ratings.settings import RatingsSettings
from recommender.studies.ratings.statistics import KnownRatings, describe

Blocks = dict[str, np.ndarray]


@dataclass(frozen=True)
class FoldSplit:
    """Row numbers of one fold: to fit on, to stop and calibrate by, to test on."""

    fit: np.ndarray
    validation: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class FoldPart:
    """The rows of one side of a fold: blocks [n, block width] float32 of unit variance, classes [n] int64."""

    blocks: Blocks
    classes: np.ndarray
    users: np.ndarray
    items: np.ndarray

    def __len__(self) -> int:
        return len(self.users)

    def only(self, names: list[str]) -> FoldPart:
        """Return a copy with some blocks only."""
        return FoldPart({name: self.blocks[name] for name in names}, self.classes, self.users, self.items)


@dataclass(frozen=True)
class Fold:
    """One fold. The classes of `test` are for the measures only; no method reads them.

    parts: the part of each row of `fit`; the features of a part come from the ratings of the other parts.
    known: the ratings of `fit`; all_known: those of `fit` and `validation`.
    content: vectors [items, width] of every modality, with the collaborative ones of this fold.
    """

    fit: FoldPart
    validation: FoldPart
    test: FoldPart
    parts: np.ndarray
    known: KnownRatings
    all_known: KnownRatings
    content: Mapping[str, np.ndarray]
    levels: np.ndarray
    likes: float
    seed: int

    def only(self, names: list[str]) -> Fold:
        """Return a copy with some blocks only."""
        sides = {side: getattr(self, side).only(names) for side in ("fit", "validation", "test")}
        content = {name: table for name, table in self.content.items() if name in names}
        return replace(self, content=content, **sides)


def splits(ratings: Ratings, settings: RatingsSettings) -> Iterator[FoldSplit]:
    """Yield folds in which every rating is as frequent as in the whole table; each row is tested once."""
    strata = _strata(ratings, 2 * settings.folds)
    folds = StratifiedKFold(settings.folds, shuffle=True, random_state=settings.seed)
    for train, test in folds.split(strata, strata):
        fit, validation = train_test_split(
            train, test_size=settings.validation, stratify=strata[train], random_state=settings.seed
        )
        yield FoldSplit(np.sort(fit), np.sort(validation), test)


def make_fold(ratings: Ratings, split: FoldSplit, content: MediaFeatures, settings: RatingsSettings) -> Fold:
    """Compute the features of a fold's rows; the ratings of the test rows are not used."""
    whole = KnownRatings(
        ratings.users, ratings.items, ratings.values, ratings.liked, len(ratings.user_ids), _item_count(content)
    )
    training = np.sort(np.concatenate([split.fit, split.validation]))
    # in the order of a cascade: first collaborative vectors, then each medium
    vectors = {"collaborative": _collaborative(ratings, training, whole.item_count, settings), **content.vectors}
    random = np.random.default_rng(settings.seed)
    parts = random.permutation(np.arange(len(split.fit)) % settings.parts)

    def blocks(known: np.ndarray, rows: np.ndarray) -> Blocks:
        return describe(whole.take(known), ratings.users[rows], ratings.items[rows], vectors)

    crossed = [blocks(split.fit[parts != part], split.fit[parts == part]) for part in range(settings.parts)]
    fit = _joined(crossed, parts)
    scalers = {name: StandardScaler().fit(table) for name, table in fit.items()}

    def part(unscaled: Blocks, rows: np.ndarray) -> FoldPart:
        scaled = {name: scalers[name].transform(table).astype(np.float32) for name, table in unscaled.items()}
        return FoldPart(scaled, ratings.classes[rows], ratings.users[rows], ratings.items[rows])

    return Fold(
        part(fit, split.fit),
        part(blocks(split.fit, split.validation), split.validation),
        part(blocks(training, split.test), split.test),
        parts,
        whole.take(split.fit),
        whole.take(training),
        vectors,
        ratings.levels,
        ratings.likes,
        settings.seed,
    )


def _strata(ratings: Ratings, fewest: int) -> np.ndarray:
    """Return the classes, or whether rows are liked if a class is too rare for every part of every fold."""
    return ratings.classes if np.bincount(ratings.classes).min() >= fewest else ratings.liked.astype(np.int64)


def _item_count(content: MediaFeatures) -> int:
    return len(next(iter(content.vectors.values())))


def _collaborative(ratings: Ratings, rows: np.ndarray, items: int, settings: RatingsSettings) -> np.ndarray:
    """Return item vectors from the order in which users rated items; the ratings themselves are not used."""
    by_user = rows[np.lexsort((ratings.order[rows], ratings.users[rows]))]
    starts = np.flatnonzero(np.diff(ratings.users[by_user]) != 0) + 1
    histories = np.split(ratings.items[by_user], starts)
    return collaborative_vectors(histories, items, settings.width, settings.seed)


def _joined(crossed: list[Blocks], parts: np.ndarray) -> Blocks:
    """Put the blocks of the parts back into the order of the rows."""
    order = np.argsort(np.concatenate([np.flatnonzero(parts == part) for part in range(len(crossed))]))
    return {name: np.concatenate([blocks[name] for blocks in crossed])[order] for name in crossed[0]}
