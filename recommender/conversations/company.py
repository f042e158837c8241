"""Company: which items are taken together more often than their popularity tells, kept as each item's nearest ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recommender.conversations.signals import company

#: neighbours of each item that are kept
NEIGHBOURS = 100


@dataclass(frozen=True)
class Company:
    """The nearest items of each, int [items, most], and how near they are, float [items, most]; the nearest one has 1."""

    others: np.ndarray
    nearness: np.ndarray

    @classmethod
    def counted(cls, histories: Sequence[np.ndarray], items: int, most: int = NEIGHBOURS) -> Company:
        """Count in histories of catalogue indices."""
        table, most = company(histories, items), min(most, items)
        others = np.argpartition(-table, most - 1, axis=1)[:, :most]
        # whole numbers as small as the catalogue allows: the table lies in a checkpoint
        kind = np.uint16 if items <= np.iinfo(np.uint16).max else np.int32
        return cls(others.astype(kind), np.take_along_axis(table, others, 1).astype(np.float16))

    def rows(self, items: Sequence[int]) -> np.ndarray:
        """Return how near all items are to each of some, float32 [n, items]."""
        rows = np.zeros((len(items), len(self.others)), np.float32)
        for row, item in zip(rows, items, strict=True):
            row[self.others[item]] = self.nearness[item]
        return rows
