"""Where the states of a trie and of all its edited versions lie: arrays that are written once and only grow at their end."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

#: Room for edits behind the states of a trie that was just built, as a share of them and in states. Memory that was never
#: written costs nothing on a CPU.
SLACK, LEAST_SLACK = 0.5, 1 << 18


@dataclass(frozen=True)
class StateBlock:
    """The children of one state, sorted by code: numpy arrays [n] of their codes, links and counts; see Arena."""

    code: np.ndarray
    link: np.ndarray
    count: np.ndarray

    @classmethod
    def empty(cls, like: np.ndarray) -> StateBlock:
        """Return no children, with codes of the type of `like`."""
        return cls(like[:0].copy(), np.zeros(0, np.int32), like[:0].copy())


class Arena:
    """The states of a trie and of its versions.

    `code` [room]: the last code of a state's prefix, int16 or int32; -1 for a root. `link` [room] int32: the first child
    of an inner state, the item of a leaf. `count` [room]: the number of children, 0 for a leaf. Children of one state are
    neighbours. What is written is never changed, so versions share all that they have in common.

    `starts`: the first state of each level as the trie was built, then the number of states that were built; what lies
    behind them was written by edits. A level's links ascend there.
    """

    def __init__(
        self, starts: tuple[int, ...], code_type: torch.dtype, device: torch.device | str = "cpu", edits: int = 0
    ) -> None:
        """Make an arena with nothing written, and room for edits of `edits` states or as many as are usual."""
        room = starts[-1] + max(int(starts[-1] * SLACK), LEAST_SLACK, edits)
        types = code_type, torch.int32, code_type
        self.code, self.link, self.count = (torch.empty(room, dtype=kind, device=device) for kind in types)
        self.starts, self.end = starts, 0
        self._lock = threading.Lock()

    @property
    def room(self) -> int:
        """How many states may still be written."""
        return len(self.code) - self.end

    @property
    def nbytes(self) -> int:
        """Bytes of the states that are written."""
        return self.end * sum(array.element_size() for array in (self.code, self.link, self.count))

    @cached_property
    def position(self) -> Tensor:
        """[largest item + 1] int32: the place of each item among the leaves that were built, -1 for those without."""
        items = self.link[self.starts[-2] : self.starts[-1]].long()
        place = torch.full((int(items.max()) + 1,), -1, dtype=torch.int32, device=items.device)
        place[items] = torch.arange(len(items), dtype=torch.int32, device=items.device)
        return place

    def to(self, device: torch.device | str, edits: int = 0) -> Arena:
        """Return a copy on another device, with room for edits of `edits` states or as many as are usual."""
        copied = Arena(self.starts, self.code.dtype, device, self.end - self.starts[-1] + edits)
        copied.append(self.code[: self.end], self.link[: self.end], self.count[: self.end])
        return copied

    def append(self, code: Tensor, link: Tensor, count: Tensor) -> int:
        """Write states behind all others and return the number of the first. There must be room for them."""
        with self._lock:
            first, self.end = self.end, self.end + len(code)
        for array, values in ((self.code, code), (self.link, link), (self.count, count)):
            array[first : first + len(values)] = values
        return first

    def write(self, block: StateBlock) -> int:
        """Append a block and return the number of its first state."""
        return self.append(*(torch.from_numpy(part) for part in (block.code, block.link, block.count)))

    def read(self, first: int, count: int) -> StateBlock:
        """Return a copy of the block of `count` states from `first` on."""
        part = slice(first, first + count)
        return StateBlock(*(array[part].cpu().numpy().copy() for array in (self.code, self.link, self.count)))
