"""An evaluation within a part of the catalogue: the targets of that part, ranked among its items alone.

Of a model of two catalogues, what it is worth in one of them compares with models of that one only if no list is filled with
items of the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recommender.baselines.fusion.weights import ScoreFunction
from recommender.baselines.topk import PADDING, RankFunction, rank_topk
from recommender.data.catalogue import Catalogue
from recommender.engine import Recommender
from recommender.engine.filters import matching
from recommender.errors import DataError
from recommender.eval.holdout import Holdout
from recommender.studies.rankings import rank_histories


@dataclass(frozen=True)
class Within:
    """The items that are ranked, bool [items], and how that part is called."""

    listed: np.ndarray
    name: str

    @classmethod
    def of(cls, catalogue: Catalogue, only: Mapping[str, Sequence[str]]) -> Within:
        """Return the items that have one of the values of each attribute. Raises RecommenderError where none has."""
        name = ", ".join(f"{attribute}={' or '.join(values)}" for attribute, values in only.items())
        return cls(matching(catalogue, only, "--only"), name)

    def of_holdout(self, holdout: Holdout) -> Holdout:
        """Return a holdout without the targets of other parts. Raises DataError if none is left."""
        table = holdout.table
        targets = np.where((table != PADDING) & self.listed[table], table, PADDING)
        details = {**holdout.details, "only": self.name, "ranked": int(self.listed.sum())}
        kept = replace(holdout, targets=targets, name=f"{holdout.name}, only {self.name}", details=details)
        if not len(kept.test_users):
            raise DataError(f"no target has {self.name}", "leave out --only, or name what some target has")
        return kept

    def ranking(self, engine: Recommender) -> RankFunction:
        """Return what ranks this part with a checkpoint."""
        others = np.flatnonzero(~self.listed)
        return lambda histories, k: rank_histories(engine, histories, k, [np.append(h, others) for h in histories])

    def ranked(self, scores: ScoreFunction, fit_seconds: float) -> RankFunction:
        """Return what ranks this part by scores [users, items], and remembers how long its fit took."""
        return _RanksByScores(scores, ~self.listed, fit_seconds)


@dataclass(frozen=True)
class _RanksByScores:
    scores: ScoreFunction
    others: np.ndarray
    fit_seconds: float

    def __call__(self, histories: Sequence[np.ndarray], k: int) -> np.ndarray:
        """Return the best k unseen items, [users, k]."""
        scores = np.array(self.scores(histories))
        scores[:, self.others] = -np.inf
        return rank_topk(scores, histories, k)
