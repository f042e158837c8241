"""Histories of any number of users on disk, memory-mapped: only those that are being read lie in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

#: the files of a folder: item indices of all users behind one another, where each user's begin, names and where they begin
ITEMS, STARTS, NAMES, NAME_STARTS, FACTS = "items.i4", "starts.i8", "names.u1", "name_starts.i8", "facts.json"
#: users whose targets are found at once
_USERS = 1 << 20


@dataclass(frozen=True)
class MappedHistories(Sequence[np.ndarray]):
    """A sequence of histories, int64 [items of the user], oldest first, read from a file when they are asked for.

    `cut`: so many of the last items are left out of histories of at least `minimum` items: those of validation and test.
    """

    items: np.ndarray
    starts: np.ndarray
    digest: str
    cut: int = 0
    minimum: int = 0

    @classmethod
    def open(cls, folder: Path) -> MappedHistories:
        """Open what `HistoryWriter` wrote."""
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return cls(_mapped(folder / ITEMS, "<i4"), _mapped(folder / STARTS, "<i8"), facts["digest"])

    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, user: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, user: slice) -> Sequence[np.ndarray]: ...

    def __getitem__(self, user: int | slice) -> np.ndarray | Sequence[np.ndarray]:
        if isinstance(user, slice):
            return tuple(self[one] for one in range(*user.indices(len(self))))
        place = range(len(self))[user]
        start, end = int(self.starts[place]), int(self.starts[place + 1])
        if end - start >= self.minimum:
            end -= self.cut
        return np.asarray(self.items[start:end]).astype(np.int64)

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self.__getitem__, range(len(self)))

    def without_last(self, cut: int, minimum: int) -> MappedHistories:
        """Return the same histories without their last `cut` items, where they have at least `minimum`."""
        return MappedHistories(self.items, self.starts, f"{self.digest} -{cut}", cut, minimum)

    def targets(self, back: int, minimum: int) -> np.ndarray:
        """Return each user's item so many places from the end, int64 [users], -1 for fewer than `minimum` items."""
        targets = np.full(len(self), -1, np.int64)
        for first in range(0, len(self), _USERS):
            starts = np.asarray(self.starts[first : first + _USERS + 1])
            long = np.flatnonzero(np.diff(starts) >= minimum)
            targets[first + long] = self.items[starts[long + 1] - back]
        return targets


@dataclass(frozen=True)
class MappedNames(Sequence[str]):
    """The ids of users, read from a file when they are asked for."""

    names: np.ndarray
    starts: np.ndarray

    @classmethod
    def open(cls, folder: Path) -> MappedNames:
        """Open what `HistoryWriter` wrote."""
        return cls(_mapped(folder / NAMES, "u1"), _mapped(folder / NAME_STARTS, "<i8"))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, user: int) -> str: ...

    @overload
    def __getitem__(self, user: slice) -> Sequence[str]: ...

    def __getitem__(self, user: int | slice) -> str | Sequence[str]:
        if isinstance(user, slice):
            return tuple(self[one] for one in range(*user.indices(len(self))))
        place = range(len(self))[user]
        return bytes(self.names[int(self.starts[place]) : int(self.starts[place + 1])]).decode()

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))


def _mapped(path: Path, dtype: str) -> np.ndarray:
    size = path.stat().st_size
    return np.memmap(path, dtype, "r") if size else np.zeros(0, dtype)
