"""From scores to ranked lists: the k best items of each user, and a fitted baseline as a function that ranks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.baselines.baseline import Baseline, FitData

#: fills up a list of ranked items where there are no more
PADDING = -1

RankFunction = Callable[[Sequence[np.ndarray], int], np.ndarray]
"""Histories and k -> item indices [users, k], best first, padded with -1; seen items already removed."""


@dataclass(frozen=True)
class FittedBaseline:
    """A fitted baseline as a RankFunction that remembers how long its fit took."""

    baseline: Baseline
    exclude_seen: bool
    fit_seconds: float

    def __call__(self, histories: Sequence[np.ndarray], k: int) -> np.ndarray:
        """Return the k best items of each history, [users, k]."""
        return rank_topk(self.baseline.scores(histories), histories, k, self.exclude_seen)


def fit_baseline(baseline: Baseline, data: FitData, exclude_seen: bool = True) -> FittedBaseline:
    """Fit a baseline and return it as a RankFunction; `exclude_seen` must be that of the evaluation."""
    start = time.perf_counter()
    baseline.fit(data)
    return FittedBaseline(baseline, exclude_seen, time.perf_counter() - start)


def rank_topk(scores: np.ndarray, histories: Sequence[np.ndarray], k: int, exclude_seen: bool = True) -> np.ndarray:
    """Return int64 [users, k]: the items with the highest scores [users, items], best first.

    Ties go to the lower index. Items scored -inf never appear; missing places are -1. Raises ValueError on NaN, which
    has no order.
    """
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN")
    cost = -scores
    if exclude_seen:
        for row, history in zip(cost, histories, strict=True):
            row[history] = np.inf
    columns = _cheapest(cost, min(k, cost.shape[1]))
    column_costs = np.take_along_axis(cost, columns, axis=1)
    order = np.argsort(column_costs, axis=1, kind="stable")
    items = np.where(np.isinf(column_costs) & (column_costs > 0), PADDING, columns)
    ranked = np.full((len(cost), k), PADDING, dtype=np.int64)
    ranked[:, : columns.shape[1]] = np.take_along_axis(items, order, axis=1)
    return ranked


def _cheapest(cost: np.ndarray, k: int) -> np.ndarray:
    """Return the columns of the k smallest costs of each row in rising order of column, [users, k]."""
    limit = np.partition(cost, k - 1, axis=1)[:, k - 1 : k]
    below = cost < limit
    tied = cost == limit
    # of those that tie at the limit, only as many as there is room for, lowest index first
    room = k - below.sum(axis=1, keepdims=True)
    return np.nonzero(below | (tied & (np.cumsum(tied, axis=1) <= room)))[1].reshape(len(cost), k)
