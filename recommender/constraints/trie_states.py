"""The states of a trie and of all its edited versions: one append-only table, three arrays wide."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

#: Room for edits behind the states of a trie that was just built, as a share of them and in states. Memory that was never
#: written costs nothing on a CPU.
SPARE_SHARE, LEAST_SPARE = 0.5, 1 << 18


@dataclass(frozen=True)
class Siblings:
    """The children of one state, sorted by code: numpy arrays [n] of their codes, links and counts; see StateTable."""

    code: np.ndarray
    link: np.ndarray
    count: np.ndarray


class StateTable:
    """The states of a trie and of its edited versions, numbered by their row.

    `code` [capacity]: the last code of a state's prefix, int16 or int32; -1 for a root. `link` [capacity] int32: the first
    child of an inner state, the item of a leaf. `count` [capacity]: the number of children, 0 for a leaf. Children of one
    state are neighbours. A row that is written is never changed, so versions share all that they have in common.

    `starts`: the first state of each level as the trie was built, then the number of states that were built; the rows
    behind them were written by edits. Within the rows that were built, the links of a level ascend.
    """

    def __init__(
        self, starts: tuple[int, ...], code_type: torch.dtype, device: torch.device | str = "cpu", edits: int = 0
    ) -> None:
        """Make an empty table with room for edits of at least `edits` states."""
        capacity = starts[-1] + max(int(starts[-1] * SPARE_SHARE), LEAST_SPARE, edits)
        types = code_type, torch.int32, code_type
        self.code, self.link, self.count = (torch.empty(capacity, dtype=kind, device=device) for kind in types)
        self.starts, self.end = starts, 0
        self._lock = threading.Lock()

    @property
    def room(self) -> int:
        """How many states may still be written."""
        return len(self.code) - self.end

    @property
    def nbytes(self) -> int:
        """Bytes of the states that are written."""
        return self.end * sum(column.element_size() for column in (self.code, self.link, self.count))

    @cached_property
    def leaf_ranks(self) -> Tensor:
        """[largest item + 1] int32: the rank of each item among the leaves that were built, -1 for those without a leaf."""
        items = self.link[self.starts[-2] : self.starts[-1]].long()
        ranks = torch.full((int(items.max()) + 1,), -1, dtype=torch.int32, device=items.device)
        ranks[items] = torch.arange(len(items), dtype=torch.int32, device=items.device)
        return ranks

    def to(self, device: torch.device | str, edits: int = 0) -> StateTable:
        """Return a copy on another device, with room for edits of at least `edits` states."""
        copied = StateTable(self.starts, self.code.dtype, device, self.end - self.starts[-1] + edits)
        copied.append(self.code[: self.end], self.link[: self.end], self.count[: self.end])
        return copied

    def append(self, code: Tensor, link: Tensor, count: Tensor) -> int:
        """Write states behind all others and return the number of the first. There must be room for them."""
        with self._lock:
            first, self.end = self.end, self.end + len(code)
        for column, values in ((self.code, code), (self.link, link), (self.count, count)):
            column[first : first + len(values)] = values
        return first

    def append_siblings(self, siblings: Siblings) -> int:
        """Write the children of one state behind all others and return the number of the first."""
        return self.append(*(torch.from_numpy(part) for part in (siblings.code, siblings.link, siblings.count)))

    def siblings(self, first: int, count: int) -> Siblings:
        """Return a copy of the `count` neighbours from `first` on, the children of one state."""
        rows = slice(first, first + count)
        return Siblings(*(column[rows].cpu().numpy().copy() for column in (self.code, self.link, self.count)))
