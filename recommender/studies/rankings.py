"""Ranks histories with an engine in batches, as one table of item indices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from recommender.baselines.topk import PADDING
from recommender.engine import Recommender
from recommender.progress import Progress

BATCH = 16
"""Histories that are ranked together; a query in words is ranked by itself."""


def rank_histories(
    engine: Recommender,
    histories: Sequence[np.ndarray],
    k: int,
    seen: Sequence[np.ndarray] | None = None,
    queries: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Return the best k items of each history, int64 [histories, k], -1 where there are no more.

    seen: the items to leave out of each list, by default those of the history. queries: a query in words for each
    history. Baselines that are stored in the checkpoint do not take part.
    """
    seen = histories if seen is None else seen
    lists = np.full((len(histories), k), PADDING, dtype=np.int64)
    step = BATCH if queries is None else 1
    for start in range(0, len(histories), step):
        rows = slice(start, start + step)
        query = None if queries is None else queries[start]
        allowed = _unseen(seen[rows], len(engine.catalogue))
        for row, ranking in enumerate(engine.rank(histories[rows], k, allowed, query, fused=False), start=start):
            lists[row, : len(ranking.items)] = ranking.items
        if progress is not None:
            progress("ranking", min(start + step, len(histories)), len(histories))
    return lists


def _unseen(seen: Sequence[np.ndarray], items: int) -> torch.Tensor:
    """Return bool [users, items], false for the seen items."""
    allowed = torch.ones(len(seen), items, dtype=torch.bool)
    for row, user_items in zip(allowed, seen, strict=True):
        row[torch.from_numpy(user_items)] = False
    return allowed
