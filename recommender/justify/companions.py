"""Companions: which items many of the people who had one item also had, as counts without persons.

Counted once in the histories that a model was trained on, and kept with its checkpoint. A pair is kept if at least `FEWEST`
people had both, if they are at least `MANY` of those who had the other item, so that "many who watched X also watched Y" is
true of it, and if that is `LEAST_LIFT` times what the popularity of both would give. `FEWEST` is a floor of privacy: a
count of fewer people could tell of single ones. Of each item at most `MOST` are kept, those that weigh most: people times
bits of the lift, its part of the mutual information.

Nothing but counts is kept, so that a person can be taken out again by lowering the counts of the pairs that they had.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.sparse import csr_matrix

from recommender.errors import CheckpointError

FEWEST = 5
MANY = 1 / 5
LEAST_LIFT = 1.5
MOST = 64
#: the name of the file in a checkpoint's folder
COMPANIONS = "companions.safetensors"
#: rows of the product of all items with all items that are worked out together: at least so many, and of large catalogues a
#: share, for each part costs a pass over as many numbers as there are items
_ROWS, _SHARE = 512, 1 / 64
_LIKED = "liked"


@dataclass(frozen=True)
class Companions:
    """For each item its companions, int [items, width], -1 where there are no more, and how many people had both.

    `liked`: only interactions with high ratings were counted, so people liked what they had.
    """

    others: np.ndarray
    counts: np.ndarray
    liked: bool = False

    def __len__(self) -> int:
        return len(self.others)

    def among(self, item: int, others: Iterable[int]) -> tuple[tuple[int, int], ...]:
        """Return those of `others` that are companions of `item`, in their order, each with how many people had both."""
        row = zip(self.others[item].tolist(), self.counts[item].tolist(), strict=True)
        counts = {other: count for other, count in row if other >= 0}
        return tuple((other, counts[other]) for other in others if other in counts)

    def reordered(self, order: np.ndarray) -> Companions:
        """Return the companions of a catalogue with new items.

        `order` [new items]: for each its former index; where that is no index of this catalogue, the item is new.
        """
        known = order < len(self)
        place = np.full(len(self) + 1, -1, dtype=np.int64)  # the last one: of no item
        place[order[known]] = np.flatnonzero(known)
        others = np.full((len(order), self.others.shape[1]), -1, dtype=np.int64)
        counts = np.zeros(others.shape, dtype=self.counts.dtype)
        others[known], counts[known] = place[self.others[order[known]]], self.counts[order[known]]
        return Companions(_compact(others, len(order)), counts, self.liked)

    def save(self, path: Path) -> None:
        """Write one safetensors file."""
        arrays = {"others": np.ascontiguousarray(self.others), "counts": np.ascontiguousarray(self.counts)}
        save_file(arrays, path, {_LIKED: str(int(self.liked))})

    @classmethod
    def load(cls, folder: Path, items: int) -> Companions | None:
        """Read what `save` wrote into a folder, of so many items; None where there is none. Raises CheckpointError."""
        path = folder / COMPANIONS
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                others, counts = file.get_tensor("others"), file.get_tensor("counts")
                loaded = cls(others, counts, bool(int(file.metadata()[_LIKED])))
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            raise CheckpointError(f"{path}: is damaged", "copy the checkpoint again, whole") from None
        if not loaded._fits(items):
            message = f"{path}: holds no counts of {items} items by {FEWEST} people and more"
            raise CheckpointError(message, "count again: recommender justifications companions")
        return loaded

    def _fits(self, items: int) -> bool:
        shapes = self.others.ndim == 2 and self.others.shape == self.counts.shape and len(self) == items
        whole = self.others.dtype.kind == self.counts.dtype.kind == "i"
        if not (shapes and whole and ((self.others >= -1) & (self.others < items)).all()):
            return False
        return bool((self.counts[self.others >= 0] >= FEWEST).all())


def count_companions(histories: Sequence[np.ndarray], items: int, liked: bool = False) -> Companions:
    """Count pairs in histories of catalogue indices; a person counts once for each item.

    `histories`: only those that training saw, without what is kept out for validation and test. `liked`: see `Companions`.
    """
    had = _incidence(histories, items)
    totals, people = np.bincount(had.indices, minlength=items), sum(len(history) > 0 for history in histories)
    by_item = had.T.tocsr()
    step = max(_ROWS, int(items * _SHARE))
    parts = [_best(by_item[start : start + step] @ had, start, totals, people) for start in range(0, items, step)]
    rows, columns, others, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    width = int(columns.max()) + 1 if len(columns) else 0
    table = np.full((items, width), -1, dtype=np.int64)
    people_of = np.zeros((items, width), dtype=np.int64)
    table[rows, columns], people_of[rows, columns] = others, counts
    return Companions(_compact(table, items), _compact(people_of, int(people_of.max(initial=0))), liked)


def _incidence(histories: Sequence[np.ndarray], items: int) -> csr_matrix:
    """Return who had which item, [people, items] of ones."""
    distinct = [np.unique(np.asarray(history, dtype=np.int64)) for history in histories]
    ends = np.cumsum([0, *map(len, distinct)])
    columns = np.concatenate(distinct) if distinct else np.zeros(0, dtype=np.int64)
    return csr_matrix((np.ones(len(columns), dtype=np.int32), columns, ends), shape=(len(distinct), items))


def _best(pairs: csr_matrix, first: int, totals: np.ndarray, people: int) -> tuple[np.ndarray, ...]:
    """Return the item, place, companion and count of the pairs that are kept.

    `pairs` [rows, items]: how many had both, of the items from `first` on.
    """
    found = pairs.tocoo()
    rows, others, counts = found.row.astype(np.int64) + first, found.col.astype(np.int64), found.data.astype(np.int64)
    lift = counts * people / (totals[rows] * totals[others])
    keep = (rows != others) & (counts >= FEWEST) & (lift >= LEAST_LIFT) & (counts >= MANY * totals[others])
    rows, others, counts, lift = rows[keep], others[keep], counts[keep], lift[keep]
    order = np.lexsort((others, -counts * np.log2(lift), rows))
    rows, others, counts = rows[order], others[order], counts[order]
    places = np.arange(len(rows)) - np.searchsorted(rows, rows)
    best = places < MOST
    return rows[best], places[best], others[best], counts[best]


def _compact(numbers: np.ndarray, largest: int) -> np.ndarray:
    return numbers.astype(np.int16 if largest <= np.iinfo(np.int16).max else np.int32)
