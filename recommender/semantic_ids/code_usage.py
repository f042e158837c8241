"""What codes are worth: how evenly they are used, and how many items share theirs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LevelUse:
    """How evenly one level's codes are used."""

    size: int
    used: int
    perplexity: float
    """exp of the entropy of the code frequencies: as many equally frequent codes would be as informative."""

    @property
    def share_used(self) -> float:
        """Share of the codes that at least one item has."""
        return self.used / self.size


@dataclass(frozen=True)
class SemanticIdsReport:
    """What the codes are worth: the level against collisions is left out of the collision figures."""

    items: int
    collision_rate: float
    """Share of the items that share their k-means codes with another item."""
    largest_group: int
    """Number of items behind the most shared k-means codes."""
    levels: tuple[LevelUse, ...]


def code_usage(codes: np.ndarray, sizes: tuple[int, ...]) -> SemanticIdsReport:
    """Report on `codes` [items, levels], whose last level tells apart items of the same codes unless it is the only one.

    `sizes`: the number of codes of each level.
    """
    items, levels = codes.shape
    groups = np.ones(items, dtype=np.int64)
    if levels > 1:
        groups = np.unique(codes[:, :-1], axis=0, return_counts=True)[1]
    colliding = groups[groups > 1].sum() / max(items, 1)
    levels_use = tuple(_level_use(codes[:, level], size) for level, size in enumerate(sizes))
    return SemanticIdsReport(items, float(colliding), int(groups.max()), levels_use)


def _level_use(column: np.ndarray, size: int) -> LevelUse:
    counts = np.unique(column, return_counts=True)[1]
    share = counts / counts.sum()
    return LevelUse(size, len(counts), float(np.exp(-(share * np.log(share)).sum())))
