"""Files of blocks of time, as PESO publishes them: user -> items before the block and in it, ids only, oldest first.

The form is that of the public data of Yoo et al., "Continual low-rank adapters for LLM-based generative recommender
systems", ICLR 2026. Of the items that a user has in a block the last is for testing and the one before it for validation;
users with fewer than three are left out.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories
from recommender.errors import DataError
from recommender.files import replacing
from recommender.strict.json_documents import read_json_object

LEAST = 3
"""Items of a user in a block; with fewer there is nothing to learn beside the two that are held out."""
HELD_OUT = 2
_PREVIOUS, _CURRENT = "previous_block", "current_block"
_FORM = f'expected {{"USER": {{"{_PREVIOUS}": [IDS], "{_CURRENT}": [IDS]}}, ...}}, oldest first'


@dataclass(frozen=True)
class UserBlock:
    """What a user has in a block, and had before it: item ids, oldest first."""

    previous: tuple[str, ...]
    current: tuple[str, ...]


@dataclass(frozen=True)
class Target:
    """The last item of a user in a block, and what they had before it, as places in the catalogue."""

    user: str
    history: np.ndarray
    item: int


class Blocks:
    """Blocks in the order of time: user -> what they have there, without users of fewer than `LEAST` items."""

    def __init__(self, blocks: Sequence[Mapping[str, UserBlock]], digests: Sequence[str] = ()) -> None:
        self._blocks, self.digests = list(blocks), tuple(digests)
        found = (item for block in self._blocks for user in block.values() for item in user.previous + user.current)
        self.item_ids = tuple(dict.fromkeys(found))

    @classmethod
    def load(cls, paths: Sequence[Path]) -> Blocks:
        """Read files, oldest first. Raises DataError for fewer than two, and for files that are no blocks."""
        if len(paths) < 2:
            raise DataError(
                f"{len(paths)} files of blocks", "name two or more, oldest first: the first one is the base"
            )
        return cls([_read(path) for path in paths], [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])

    def __len__(self) -> int:
        return len(self._blocks)

    def interactions(self) -> list[int]:
        """Return how many interactions each block has."""
        return [sum(len(user.current) for user in block.values()) for block in self._blocks]

    def tests(self, block: int, catalogue: Catalogue) -> list[Target]:
        """Return the test of each user of a block."""
        found = []
        for name, user in self._blocks[block].items():
            items = catalogue.indices(user.previous + user.current)
            found.append(Target(name, items[:-1], int(items[-1])))
        return found

    def learned_until(self, block: int, catalogue: Catalogue) -> Histories:
        """Return all that may be learned up to the end of a block, without each user's last two items there.

        Times count blocks: what a user has in block 2 lies after 2, and up to 3.
        """
        names, items, times = [], [], []
        for name, ids, when in self._until(block):
            names.append(name)
            items.append(catalogue.indices(ids[:-HELD_OUT]))
            times.append(when[:-HELD_OUT])
        return Histories(tuple(names), tuple(items), tuple(times))

    def _until(self, block: int) -> Iterator[tuple[str, tuple[str, ...], np.ndarray]]:
        """Yield each user with all that they have up to a block, and when."""
        last: dict[str, int] = {}
        for number, present in enumerate(self._blocks[: block + 1]):
            last |= dict.fromkeys(present, number)
        for name, number in last.items():
            user = self._blocks[number][name]
            before, now = (
                (np.arange(len(part)) + 1) / (len(part) + 1) + start
                for part, start in ((user.previous, number - 1), (user.current, number))
            )
            yield name, user.previous + user.current, np.concatenate([before, now])

    def write_items(self, path: Path) -> None:
        """Write a table of the items of all blocks, which have no titles but their ids."""
        _write(path, [("item_id", "title"), *((item, f"item {item}") for item in self.item_ids)])

    def write_interactions(self, block: int, path: Path) -> None:
        """Write a table of all interactions up to the end of a block, with the two of each user that are held out."""
        rows = (
            (name, item, f"{when:.6f}")
            for name, ids, times in self._until(block)
            for item, when in zip(ids, times, strict=True)
        )
        _write(path, itertools.chain([("user_id", "item_id", "timestamp")], rows))


def _write(path: Path, rows: Iterable[tuple[Any, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def _read(path: Path) -> dict[str, UserBlock]:
    raw = read_json_object(path, "block of users", _FORM)
    users = {name: UserBlock(*_parts(path, name, user)) for name, user in raw.items()}
    enough = {name: user for name, user in users.items() if len(user.current) >= LEAST}
    if not enough:
        raise DataError(f"{path}: no user has {LEAST} items in {_CURRENT}", "a block needs some; " + _FORM)
    return enough


def _parts(path: Path, name: str, user: Any) -> Iterator[tuple[str, ...]]:
    for key in (_PREVIOUS, _CURRENT):
        ids = user.get(key) if isinstance(user, dict) else None
        if not isinstance(ids, list) or not all(isinstance(one, str | int) and str(one).strip() for one in ids):
            raise DataError(f"{path}: is no block of users: {name[:40]!r} has no list of ids {key!r}", _FORM)
        yield tuple(str(one) for one in ids)
