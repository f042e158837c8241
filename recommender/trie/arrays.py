"""The trie of item codes as flat arrays of states, so that a beam is advanced by gathers alone. Knows no LLM.

Every unique prefix of codes is a state (STATIC, arXiv 2602.22647). States are numbered level by level in the
lexicographic order of their prefixes, so the children of a state are neighbours, sorted by code, and so are
the items below it: two offsets a state replace all pointers, and the leaves need none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from recommender.trie.edit import deleted, inserted
from recommender.trie.masks import DenseMask, Mask, SparseMask, padded

#: With at most this many items denied a prompt, a list of dead states is cheaper than a table of all states.
SPARSE = 4096
_ARRAYS = ("code", "child_offsets", "item_start", "order")


@dataclass(frozen=True)
class Trie:
    """States and items of one catalogue. State 0 is the root; the last `items` states are the leaves.

    A trie never changes: `with_items` and `without_items` return another one, so a search that runs is not disturbed.
    """

    sizes: tuple[int, ...]
    fan_outs: tuple[int, ...]
    """Largest number of children of a state of each level."""
    starts: tuple[int, ...]
    """First state of each level, then the number of states."""
    code: Tensor
    """[states] the last code of the state's prefix, int16 or int32; -1 for the root."""
    child_offsets: Tensor
    """[inner states + 1] int32: state `s` has the children `child_offsets[s] .. child_offsets[s + 1] - 1`."""
    item_start: Tensor
    """[inner states + 1] int32: first position in `order` of the items below the state."""
    order: Tensor
    """[items] int32: item indices in the lexicographic order of their codes."""

    @classmethod
    def from_codes(
        cls,
        codes: np.ndarray,
        sizes: tuple[int, ...],
        device: torch.device | str = "cpu",
        items: np.ndarray | None = None,
    ) -> Trie:
        """Build the trie of `codes` [items, levels]; `sizes` is the number of codes of each level.

        `items` [items]: the item indices that the rows of `codes` stand for, by default their numbers. Raises ValueError
        if a code is out of its level's range or two items share all their codes.
        """
        codes = np.asarray(codes)
        _check(codes, sizes)
        order = _lexicographic(codes, sizes)
        trie = cls._from_sorted(codes[order], sizes, order if items is None else np.asarray(items)[order])
        return trie.to(device)

    @classmethod
    def _from_sorted(cls, codes: np.ndarray, sizes: tuple[int, ...], order: np.ndarray) -> Trie:
        prefixes = _prefix_starts(codes)
        if len(prefixes[-1]) != len(codes):
            raise ValueError(f"{len(codes) - len(prefixes[-1])} items share all their codes with another item")
        counts = [_children(above, below) for above, below in zip(prefixes[:-1], prefixes[1:], strict=True)]
        last = [codes[level, depth] for depth, level in enumerate(prefixes[1:])]
        return cls(
            tuple(int(size) for size in sizes),
            tuple(int(count.max(initial=0)) for count in counts),
            tuple(np.cumsum([0, *map(len, prefixes)]).tolist()),
            torch.from_numpy(np.concatenate([[-1], *last]).astype(_code_type(sizes))),
            torch.from_numpy(1 + np.cumsum(np.concatenate([[0], *counts]), dtype=np.int32)),
            torch.from_numpy(np.concatenate([*prefixes[:-1], [len(codes)]]).astype(np.int32)),
            torch.from_numpy(order.astype(np.int32)),
        )

    @property
    def root(self) -> int:
        """The state of the empty prefix."""
        return 0

    @property
    def levels(self) -> int:
        """Number of codes of an item."""
        return len(self.sizes)

    @property
    def items(self) -> int:
        """Number of items."""
        return len(self.order)

    @property
    def states(self) -> int:
        """Number of states: the root, the inner prefixes and one leaf an item."""
        return len(self.code)

    @property
    def megabytes(self) -> float:
        """Memory that the arrays take, in units of 10^6 bytes."""
        return sum(getattr(self, name).nbytes for name in _ARRAYS) / 1e6

    def to(self, device: torch.device | str) -> Trie:
        """Return the same trie on another device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in _ARRAYS})

    def with_items(self, items: Sequence[int] | np.ndarray, codes: np.ndarray) -> Trie:
        """Return the trie with more items [n] of the codes [n, levels]: arrays are copied, nothing is sorted anew.

        Raises ValueError for an item or codes that are there already, and as `from_codes` does.
        """
        codes = np.asarray(codes)
        _check(codes, self.sizes)
        trie = self.to("cpu")
        for item, row in zip(items, codes, strict=True):
            trie = inserted(trie, int(item), row)
        return trie.to(self.code.device)

    def without_items(self, items: Sequence[int] | np.ndarray) -> Trie:
        """Return the trie without some of its items. Raises ValueError for an unknown item, and if none would be left."""
        trie = self.to("cpu")
        for item in items:
            trie = deleted(trie, int(item))
        return trie.to(self.code.device)

    def alive(self, allowed: Tensor | None) -> Tensor:
        """Which states lead to an allowed item: bool [B, items] -> bool [B, states].

        None allows everything and returns [1, states]. Items are numbered as in `order`.
        """
        if allowed is None:
            return torch.ones(1, self.states, dtype=torch.bool, device=self.code.device)
        leaves = allowed[:, self.order]
        sums = allowed.new_zeros((len(allowed), self.items + 1), dtype=torch.int32)
        torch.cumsum(leaves, dim=1, dtype=torch.int32, out=sums[:, 1:])
        inner = self.starts[self.levels]
        ends = self.item_start[1:].clone()
        ends[torch.tensor(self.starts[1 : self.levels + 1], device=ends.device) - 1] = self.items
        return torch.cat([sums[:, ends] > sums[:, self.item_start[:inner]], leaves], 1)

    def mask(self, allowed: Tensor | None) -> Mask | None:
        """Return the cheapest mask for `allowed` [B, items], bool on any device; None if everything is allowed.

        Few items denied, or few allowed, cost what they number, not what the catalogue does.
        """
        if allowed is None:
            return None
        denied = int((~allowed).sum(1).max())
        if denied == 0 and allowed.shape[1] >= self.items:
            return None
        dead = denied <= SPARSE
        if not dead and int(allowed.sum(1).max()) > SPARSE:
            return DenseMask(self.alive(allowed.to(self.code.device)))
        rows = [row.nonzero()[:, 0] for row in (~allowed if dead else allowed).to(self.code.device)]
        lists = [self._above(self._leaves(row), whole=dead) for row in rows]
        return SparseMask(padded(lists, self.states), dead)

    def _leaves(self, items: Tensor) -> Tensor:
        """Return the leaves of those items [n] that the trie holds, in ascending order."""
        places = self.position[items[items < len(self.position)]]
        return (places[places >= 0].long() + self.starts[self.levels]).sort().values

    @cached_property
    def position(self) -> Tensor:
        """[largest item + 1] int32: the place of each item in `order`, -1 for those that are not here."""
        place = torch.full((int(self.order.max()) + 1,), -1, dtype=torch.int32, device=self.order.device)
        place[self.order.long()] = torch.arange(self.items, dtype=torch.int32, device=self.order.device)
        return place

    def _above(self, leaves: Tensor, whole: bool) -> Tensor:
        """Return `leaves` [n] and the inner states above them, ascending; `whole`: only those with no other leaf."""
        found, states = [leaves], leaves
        for _ in range(self.levels):
            parents, counts = self.parent(states).unique_consecutive(return_counts=True)
            if whole:
                parents = parents[counts == self.child_offsets[parents + 1] - self.child_offsets[parents]]
            found.append(parents)
            states = parents
        return torch.cat(found[::-1])

    def parent(self, states: Tensor) -> Tensor:
        """Return the state above each of `states` [...], which are not the root."""
        return torch.searchsorted(self.child_offsets, states.to(self.child_offsets.dtype), right=True) - 1

    def children(self, states: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """What may follow `states` [...] of depth `level` (root: 0): (codes, next states), both int64 [..., C].

        C is the level's largest fan-out. Sorted by code, padded with -1; a state of -1 has no children.
        """
        known = states.clamp_min(0)
        first = self.child_offsets[known]
        count = torch.where(states < 0, 0, self.child_offsets[known + 1] - first)
        place = torch.arange(self.fan_outs[level], dtype=first.dtype, device=states.device)
        exists = place < count.unsqueeze(-1)
        following = torch.where(exists, first.unsqueeze(-1) + place, -1).long()
        return torch.where(exists, self.code[following.clamp_min(0)], -1).long(), following

    def item_of(self, leaf_states: Tensor) -> Tensor:
        """Item indices of leaf states [...], int64; -1 for states that are no leaves."""
        leaf = leaf_states - self.starts[self.levels]
        return torch.where(leaf >= 0, self.order[leaf.clamp_min(0)], -1).long()


def _check(codes: np.ndarray, sizes: tuple[int, ...]) -> None:
    if codes.ndim != 2 or codes.shape[1] != len(sizes) or 0 in codes.shape:
        raise ValueError(f"expected codes of the shape [items, {len(sizes)}], got {list(codes.shape)}")
    if (codes < 0).any() or (codes >= np.asarray(sizes)).any():
        raise ValueError(f"codes must lie in 0 .. size - 1 of their level; sizes are {tuple(sizes)}")


def _code_type(sizes: tuple[int, ...]) -> type[np.signedinteger]:
    return np.int16 if max(sizes) <= np.iinfo(np.int16).max else np.int32


def _lexicographic(codes: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Return the order of the rows; as one number each they are sorted several times faster than column by column."""
    if math.prod(sizes) >= 2**63:
        return np.lexsort(codes.T[::-1])
    key = np.zeros(len(codes), dtype=np.int64)
    for column, size in zip(codes.T, sizes, strict=True):
        key *= size
        key += column
    return np.argsort(key)


def _prefix_starts(ordered: np.ndarray) -> list[np.ndarray]:
    """For prefixes of each length 0 .. levels, the rows of `ordered` where a new prefix begins."""
    fresh = np.zeros(len(ordered), dtype=bool)
    fresh[0] = True
    starts = [np.flatnonzero(fresh)]
    for column in ordered.T:
        fresh[1:] |= column[1:] != column[:-1]
        starts.append(np.flatnonzero(fresh))
    return starts


def _children(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """How many prefixes beginning at the rows `below` extend each of those beginning at the rows `above`."""
    return np.diff(np.append(np.searchsorted(below, above), len(below)))
