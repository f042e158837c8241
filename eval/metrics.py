"""Full-catalogue ranking metrics on item indices: a table of ranked items, one or more targets a user.

`ranked` is [users, K], best first, padded with -1; `targets` is [users] or [users, most], padded with -1.
Every metric returns one float64 a user; a user without a target gets NaN, so that a mean over it cannot
go unnoticed. The definitions are those of trec_eval (binary relevance), against which the tests check them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from recommender.baselines.topk import PADDING
from recommender.numerics.gains import discounted_gains


def as_table(targets: np.ndarray) -> np.ndarray:
    """Return targets as [users, most], padded with -1."""
    targets = np.asarray(targets)
    return targets[:, None] if targets.ndim == 1 else targets


def relevance(ranked: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return bool [users, K]: whether the item at this rank is a target of the user."""
    hits = np.zeros(ranked.shape, dtype=bool)
    for column in as_table(targets).T:
        hits |= ranked == column[:, None]
    return hits & (ranked != PADDING)


def _target_counts(targets: np.ndarray) -> np.ndarray:
    """Return the number of targets of each user as float64, NaN where there is none."""
    count = (as_table(targets) != PADDING).sum(axis=1).astype(np.float64)
    return np.where(count > 0, count, np.nan)


def recall(ranked: np.ndarray, targets: np.ndarray, k: int) -> np.ndarray:
    """Return the share of a user's targets within the first k."""
    return relevance(ranked[:, :k], targets).sum(axis=1) / _target_counts(targets)


def hit_rate(ranked: np.ndarray, targets: np.ndarray, k: int) -> np.ndarray:
    """Return 1 where any target is within the first k, else 0."""
    return np.minimum(recall(ranked, targets, k) * _target_counts(targets), 1.0)


def mrr(ranked: np.ndarray, targets: np.ndarray, k: int) -> np.ndarray:
    """Return 1 / rank of the first target within the first k, 0 where there is none."""
    gains = relevance(ranked[:, :k], targets) / _ranks(ranked, k)
    return np.max(gains, axis=1, initial=0.0) + 0.0 * _target_counts(targets)


def ndcg(ranked: np.ndarray, targets: np.ndarray, k: int) -> np.ndarray:
    """Return the discounted gain (1 / log2(rank + 1)) within the first k over the best possible one."""
    discount = discounted_gains(np.arange(1, k + 1))
    gained = (relevance(ranked[:, :k], targets) * discount[: ranked.shape[1]]).sum(axis=1)
    counts = np.nan_to_num(_target_counts(targets))
    best = np.concatenate([[np.nan], np.cumsum(discount)])
    return gained / best[np.minimum(counts, k).astype(np.int64)]


def average_precision(ranked: np.ndarray, targets: np.ndarray, k: int) -> np.ndarray:
    """Return the precision at each target found within the first k, summed, over the number of targets."""
    hits = relevance(ranked[:, :k], targets)
    precision = np.cumsum(hits, axis=1) / _ranks(ranked, k)
    return (precision * hits).sum(axis=1) / _target_counts(targets)


def _ranks(ranked: np.ndarray, k: int) -> np.ndarray:
    return np.arange(1, min(k, ranked.shape[1]) + 1)


METRICS: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "recall": recall,
    "ndcg": ndcg,
    "mrr": mrr,
    "map": average_precision,
    "hit_rate": hit_rate,
}


def accuracy_per_user(ranked: np.ndarray, targets: np.ndarray, ks: Sequence[int]) -> dict[tuple[str, int], np.ndarray]:
    """Return (metric, k) -> one value a user, for every accuracy metric and every k."""
    return {(name, k): metric(ranked, targets, k) for name, metric in METRICS.items() for k in ks}


def _exposures(ranked: np.ndarray, items: int, k: int) -> np.ndarray:
    """Return how often each item is among the first k of a list, int64 [items]."""
    return np.bincount(_shown(ranked, k), minlength=items)


def _shown(ranked: np.ndarray, k: int) -> np.ndarray:
    """Return the items at the first k places of all lists, without padding."""
    shown = ranked[:, :k].ravel()
    return shown[shown != PADDING]


def coverage(ranked: np.ndarray, items: int, k: int) -> float:
    """Return the share of the catalogue that is among the first k of at least one list."""
    return float((_exposures(ranked, items, k) > 0).mean())


def gini(ranked: np.ndarray, items: int, k: int) -> float:
    """Return the Gini coefficient of exposure in the first k: 0 all items equally, towards 1 only a few items."""
    exposures = np.sort(_exposures(ranked, items, k))
    if exposures.sum() == 0:
        return float("nan")
    weights = 2 * np.arange(1, items + 1) - items - 1
    return float((weights * exposures).sum() / (items * exposures.sum()))


def novelty(ranked: np.ndarray, popularity: np.ndarray, k: int) -> float:
    """Return the mean -log2 of the popularity share of the items in the first k, in bits.

    `popularity` is the number of training interactions of each item, [items]. An item without any counts as one
    interaction: its surprise stays finite, and no item is more surprising.
    """
    shown = _shown(ranked, k)
    if shown.size == 0:
        return float("nan")
    surprise = -np.log2(np.maximum(popularity, 1) / max(popularity.sum(), 1))
    return float(surprise[shown].mean())


def cold_share(ranked: np.ndarray, popularity: np.ndarray, k: int) -> float:
    """Return the share of the places in the first k that go to items without any training interaction.

    `popularity` is the number of training interactions of each item, [items].
    """
    shown = _shown(ranked, k)
    return float((popularity[shown] == 0).mean()) if shown.size else float("nan")
