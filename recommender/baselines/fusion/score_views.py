"""Scores of different scales made comparable, weighted and added up.

An item's fused score is a weighted sum over scorers of two views of each one's score: the standard score over the
user's unseen items, and the logarithm of the item's rank among them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RANK_OFFSET = 5.0
"""Added to a rank before its logarithm, so that the first few ranks do not outweigh all others."""

Weights = tuple[float, float]
"""The weights of the standard score and of the log rank."""


def score_views(scores: np.ndarray, histories: Sequence[np.ndarray]) -> np.ndarray:
    """Return both views of scores [users, items] over each user's unseen items, float32 [users, items, 2].

    The views of seen items are zero. A score of -inf (never to be ranked) counts as the lowest finite one.
    """
    views = np.zeros((*scores.shape, 2), dtype=np.float32)
    for user, seen in enumerate(histories):
        unseen = np.ones(scores.shape[1], dtype=bool)
        unseen[seen] = False
        user_scores = scores[user, unseen].astype(np.float64)
        finite = np.isfinite(user_scores)
        user_scores = np.where(finite, user_scores, user_scores[finite].min() if finite.any() else 0.0)
        views[user, unseen, 0] = (user_scores - user_scores.mean()) / (user_scores.std() or 1.0)
        views[user, unseen, 1] = -np.log(RANK_OFFSET + _ranks(user_scores))
    return views


def weighted_scores(scores: np.ndarray, histories: Sequence[np.ndarray], weights: Weights | np.ndarray) -> np.ndarray:
    """Return what one scorer adds to the fused score of every item, float32 [users, items].

    weights: of the two views, for all users or each user's own, [users, 2].
    """
    pairs = np.broadcast_to(np.asarray(weights, dtype=np.float32), (len(scores), 2))
    return np.asarray((score_views(scores, histories) @ pairs[:, :, None])[..., 0])


def mask_seen(scores: np.ndarray, histories: Sequence[np.ndarray]) -> np.ndarray:
    """Return the scores [users, items], changed in place to -inf for seen items."""
    for row, seen in zip(scores, histories, strict=True):
        row[seen] = -np.inf
    return scores


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value from 0 for the highest; ties get their mean rank, whatever their index."""
    ordered = np.sort(-values)
    return (np.searchsorted(ordered, -values, "left") + np.searchsorted(ordered, -values, "right") - 1) / 2
