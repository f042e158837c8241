"""The one evaluation that baselines and language models go through: ranked item indices in, a table out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recommender.errors import DataError
from recommender.eval import metrics
from recommender.eval.baselines.base import FitData, Ranker, profiles
from recommender.eval.bootstrap import bounds, resampled_means
from recommender.eval.metrics import PADDING, as_table
from recommender.progress import Progress

RankFunction = Callable[[Sequence[np.ndarray], int], np.ndarray]
"""Histories and k -> item indices [users, k], best first, padded with -1; seen items already removed."""

HEADLINE_KS = (5, 10)  # what the terminal table and the report show, so always measured


@dataclass(frozen=True)
class FittedRanker:
    """A fitted baseline as a RankFunction that remembers how long its fit took."""

    ranker: Ranker
    exclude_seen: bool
    fit_seconds: float

    def __call__(self, histories: Sequence[np.ndarray], k: int) -> np.ndarray:
        """Return the k best items of each history, [users, k]."""
        return rank_topk(self.ranker.scores(histories), histories, k, self.exclude_seen)


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation measured.

    per_user: model, user (position in the histories), metric, k, value: one row each.
    summary: model, metric, k, mean, low, high (95 % interval), difference to the reference with its
        paired difference_low and difference_high; intervals are NaN for coverage, gini and novelty.
    models: model, fit_seconds (NaN if unknown), score_seconds.
    curves: model, k, recall for every k up to the largest.
    about: reference, split, users, items, seed and all else that a reader needs to repeat it.
    """

    per_user: pd.DataFrame
    summary: pd.DataFrame
    models: pd.DataFrame
    curves: pd.DataFrame
    about: Mapping[str, Any]

    def row(self, model: str, metric: str, k: int) -> pd.Series:
        """Return the summary row of one model and metric at k. Raises KeyError if it was not measured."""
        rows = self.summary.query("model == @model and metric == @metric and k == @k")
        if rows.empty:
            raise KeyError(f"{metric}@{k} of {model} was not measured")
        return rows.iloc[0]


def rank_topk(scores: np.ndarray, histories: Sequence[np.ndarray], k: int, exclude_seen: bool = True) -> np.ndarray:
    """Return int64 [users, k]: the items with the highest scores [users, items], best first.

    Ties go to the lower index. Seen items are removed if asked; items scored -inf never appear; what
    is missing is -1. Raises ValueError on NaN, which has no order.
    """
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN")
    cost = -scores
    if exclude_seen:
        for row, history in zip(cost, histories, strict=True):
            row[history] = np.inf
    columns = _cheapest(cost, min(k, cost.shape[1]))
    chosen = np.take_along_axis(cost, columns, axis=1)
    order = np.argsort(chosen, axis=1, kind="stable")
    ranked = np.full((len(cost), k), PADDING, dtype=np.int64)
    found = np.where(np.isinf(chosen) & (chosen > 0), PADDING, columns)
    ranked[:, : columns.shape[1]] = np.take_along_axis(found, order, axis=1)
    return ranked


def _cheapest(cost: np.ndarray, k: int) -> np.ndarray:
    """Return the columns of the k smallest costs of each row in rising order of column, [users, k]."""
    limit = np.partition(cost, k - 1, axis=1)[:, k - 1 : k]
    below = cost < limit
    tied = cost == limit
    # of those that tie at the limit, only as many as there is room for, lowest index first
    room = k - below.sum(axis=1, keepdims=True)
    return np.nonzero(below | (tied & (np.cumsum(tied, axis=1) <= room)))[1].reshape(len(cost), k)


def fitted(ranker: Ranker, data: FitData, exclude_seen: bool = True) -> FittedRanker:
    """Fit a baseline and return it as a RankFunction; `exclude_seen` must be that of the evaluation."""
    start = time.perf_counter()
    ranker.fit(data)
    return FittedRanker(ranker, exclude_seen, time.perf_counter() - start)


def evaluate(
    rankers: Mapping[str, RankFunction],
    histories: Sequence[np.ndarray],
    targets: np.ndarray,
    *,
    items: int,
    popularity: np.ndarray | None = None,
    ks: Sequence[int] = (1, 5, 10, 20),
    reference: str | None = None,
    exclude_seen: bool = True,
    split: str = "test",
    seed: int = 0,
    samples: int = 2000,
    batch: int = 256,
    progress: Progress | None = None,
) -> Evaluation:
    """Rank for every user that has a target, measure, and compare each model with the reference.

    targets: [users] or [users, most], -1 where there is none; users without any are left out and counted,
    targets that stand in the history are counted (never hit once seen items are removed).
    popularity: training interactions of each item for novelty; without it those of the histories.
    reference: the model that differences are taken to, the first one unless named.
    Raises DataError if no user has a target or the reference is unknown, ValueError if a ranker breaks
    its contract (wrong shape, an index outside the catalogue, an item twice, a seen item).
    """
    reference = _reference(rankers, reference)
    table = as_table(np.asarray(targets))
    users = np.flatnonzero((table != PADDING).any(axis=1))
    if len(users) == 0:
        raise DataError("no user has a target to evaluate on", hint="give targets, or users of 3 or more items")
    kept, table = [histories[user] for user in users.tolist()], table[users]
    ks = sorted({*ks, *HEADLINE_KS})
    ranked, seconds = {}, {}
    for name, rank in rankers.items():
        ranked[name], seconds[name] = _rank(name, rank, kept, ks[-1], items, exclude_seen, batch, progress)
    if popularity is None:
        popularity = profiles(kept, items).sum(axis=0)
    values = {name: metrics.per_user(lists, table, ks) for name, lists in ranked.items()}
    summary = [_accuracy(values, reference, seed, samples), _beyond(ranked, items, popularity, ks)]
    about = {
        "reference": reference,
        "split": split,
        "exclude_seen": exclude_seen,
        "users": len(users),
        "users_without_target": len(targets) - len(users),
        "targets": int((table != PADDING).sum()),
        "targets_in_history": _targets_in_history(kept, table),
        "items": items,
        "ks": ks,
        "interval": {"level": 0.95, "method": "percentile bootstrap over users", "samples": samples},
        "seed": seed,
    }
    return Evaluation(
        _per_user(values, users),
        pd.concat(summary, ignore_index=True),
        _models(rankers, seconds),
        _curves(ranked, table, ks[-1]),
        about,
    )


def _reference(rankers: Mapping[str, RankFunction], reference: str | None) -> str:
    if not rankers:
        raise DataError("no model to evaluate", hint="name at least one model or baseline")
    if reference is not None and reference not in rankers:
        raise DataError(f"the reference {reference!r} is not among the models", hint=f"one of {', '.join(rankers)}")
    return reference or next(iter(rankers))


def _rank(
    name: str,
    rank: RankFunction,
    histories: Sequence[np.ndarray],
    k: int,
    items: int,
    exclude_seen: bool,
    batch: int,
    progress: Progress | None,
) -> tuple[np.ndarray, float]:
    """Return the lists of one model [users, k] and the seconds that its ranking alone took."""
    lists, seconds = [], 0.0
    for start in range(0, len(histories), batch):
        part = histories[start : start + batch]
        begin = time.perf_counter()
        ranked = np.asarray(rank(part, k))
        seconds += time.perf_counter() - begin
        _check(name, ranked, part, k, items, exclude_seen)
        lists.append(ranked)
        if progress is not None:
            progress(f"ranking with {name}", start + len(part), len(histories))
    return np.concatenate(lists), seconds


def _check(
    name: str, ranked: np.ndarray, histories: Sequence[np.ndarray], k: int, items: int, exclude_seen: bool
) -> None:
    """Raise ValueError if lists would make a metric wrong: an item that stands twice could hit twice."""
    if ranked.shape != (len(histories), k):
        raise ValueError(f"{name} ranked {ranked.shape}, expected {(len(histories), k)}")
    if ranked.min(initial=0) < PADDING or ranked.max(initial=0) >= items:
        raise ValueError(f"{name} ranked an index outside the catalogue of {items} items")
    ordered = np.sort(ranked, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PADDING)).any():
        raise ValueError(f"{name} ranked an item twice for one user")
    if exclude_seen and any(np.isin(row, seen).any() for row, seen in zip(ranked, histories, strict=True)):
        raise ValueError(f"{name} ranked an item that the user has seen")


def _targets_in_history(histories: Sequence[np.ndarray], table: np.ndarray) -> int:
    return int(sum(np.isin(row[row != PADDING], seen).sum() for row, seen in zip(table, histories, strict=True)))


def _accuracy(
    values: Mapping[str, Mapping[tuple[str, int], np.ndarray]], reference: str, seed: int, samples: int
) -> pd.DataFrame:
    """Return the mean of every metric with its interval and its paired difference to the reference."""
    keys = list(values[reference])
    # One resampling for all models and metrics: that is what pairs the differences.
    wide = np.stack([values[model][key] for model in values for key in keys], axis=1)
    means = resampled_means(wide, seed, samples).reshape(samples, len(values), len(keys))
    observed = wide.mean(axis=0).reshape(len(values), len(keys))
    base = list(values).index(reference)
    columns = {
        "mean": observed,
        **dict(zip(("low", "high"), bounds(means), strict=True)),
        "difference": observed - observed[base],
        **dict(zip(("difference_low", "difference_high"), bounds(means - means[:, [base]]), strict=True)),
    }
    names = pd.DataFrame([(model, *key) for model in values for key in keys], columns=["model", "metric", "k"])
    return names.assign(**{column: table.ravel() for column, table in columns.items()})


def _beyond(ranked: Mapping[str, np.ndarray], items: int, popularity: np.ndarray, ks: Sequence[int]) -> pd.DataFrame:
    """Return coverage, gini and novelty of every model's lists; they belong to no single user."""
    rows = []
    for model, lists in ranked.items():
        for k in ks:
            rows.append((model, "coverage", k, metrics.coverage(lists, items, k)))
            rows.append((model, "gini", k, metrics.gini(lists, items, k)))
            rows.append((model, "novelty", k, metrics.novelty(lists, popularity, k)))
    return pd.DataFrame(rows, columns=["model", "metric", "k", "mean"])


def _per_user(values: Mapping[str, Mapping[tuple[str, int], np.ndarray]], users: np.ndarray) -> pd.DataFrame:
    frames = [
        pd.DataFrame({"model": model, "user": users, "metric": metric, "k": k, "value": column})
        for model, columns in values.items()
        for (metric, k), column in columns.items()
    ]
    return pd.concat(frames, ignore_index=True).astype({"model": "category", "metric": "category", "k": "int32"})


def _models(rankers: Mapping[str, RankFunction], seconds: Mapping[str, float]) -> pd.DataFrame:
    fits = [getattr(rank, "fit_seconds", float("nan")) for rank in rankers.values()]
    return pd.DataFrame({"model": list(rankers), "fit_seconds": fits, "score_seconds": list(seconds.values())})


def _curves(ranked: Mapping[str, np.ndarray], table: np.ndarray, most: int) -> pd.DataFrame:
    """Return mean recall at every k up to `most` for each model."""
    count = (table != PADDING).sum(axis=1, keepdims=True)
    frames = [
        pd.DataFrame(
            {
                "model": model,
                "k": np.arange(1, most + 1),
                "recall": (np.cumsum(metrics.relevance(lists, table), axis=1) / count).mean(axis=0),
            }
        )
        for model, lists in ranked.items()
    ]
    return pd.concat(frames, ignore_index=True)
