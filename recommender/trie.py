"""The trie of item codes as flat arrays of states, so that a beam is advanced by gathers alone. Knows no LLM.

Every unique prefix of codes is a state (STATIC, arXiv 2602.22647). States are numbered level by level in the
lexicographic order of their prefixes, so the children of a state are neighbours, sorted by code, and so are
the items below it: two offsets a state replace all pointers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Trie:
    """States and items of one catalogue. State 0 is the root; the last `items` states are the leaves."""

    sizes: tuple[int, ...]
    fan_outs: tuple[int, ...]
    """Largest number of children of a state of each level."""
    code: Tensor
    """[states] the last code of the state's prefix; -1 for the root."""
    child_offsets: Tensor
    """[states + 1] state `s` has the children `child_offsets[s] .. child_offsets[s + 1] - 1`."""
    item_start: Tensor
    """[states] first position in `order` of the items below the state."""
    item_end: Tensor
    """[states] one past the last position in `order` of the items below the state."""
    order: Tensor
    """[items] item indices in the lexicographic order of their codes."""

    @classmethod
    def from_codes(cls, codes: np.ndarray, sizes: tuple[int, ...], device: torch.device | str = "cpu") -> Trie:
        """Build the trie of `codes` [items, levels]; `sizes` is the number of codes of each level.

        Raises ValueError if a code is out of its level's range or two items share all their codes.
        """
        codes = np.asarray(codes, dtype=np.int64)
        _check(codes, sizes)
        order = np.lexsort(codes.T[::-1])
        starts = _prefix_starts(codes[order])
        if len(starts[-1]) != len(codes):
            raise ValueError(f"{len(codes) - len(starts[-1])} items share all their codes with another item")
        counts = [_children(above, below) for above, below in zip(starts[:-1], starts[1:], strict=True)]
        children = np.concatenate([*counts, np.zeros(len(codes), dtype=np.int64)])
        ends = [np.append(level[1:], len(codes)) for level in starts]
        last = [codes[order[level], depth] for depth, level in enumerate(starts[1:])]
        arrays = (
            np.concatenate([[-1], *last]),
            1 + np.concatenate([[0], np.cumsum(children)]),
            np.concatenate(starts),
            np.concatenate(ends),
            order,
        )
        fan_outs = tuple(int(count.max()) for count in counts)
        return cls(tuple(sizes), fan_outs, *(torch.from_numpy(array).to(device) for array in arrays))

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

    def to(self, device: torch.device | str) -> Trie:
        """Return the same trie on another device."""
        names = ("code", "child_offsets", "item_start", "item_end", "order")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def alive(self, allowed: Tensor | None) -> Tensor:
        """Which states lead to an allowed item: bool [B, items] -> bool [B, states].

        None allows everything and returns [1, states].
        """
        if allowed is None:
            return torch.ones(1, self.states, dtype=torch.bool, device=self.code.device)
        sums = allowed.new_zeros((len(allowed), self.items + 1), dtype=torch.int32)
        torch.cumsum(allowed[:, self.order], dim=1, dtype=torch.int32, out=sums[:, 1:])
        return sums[:, self.item_end] > sums[:, self.item_start]

    def children(self, states: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """What may follow `states` [...] of depth `level` (root: 0): (codes, next states), both [..., C].

        C is the level's largest fan-out. Sorted by code, padded with -1; a state of -1 has no children.
        """
        known = states.clamp(min=0)
        first = self.child_offsets[known]
        count = torch.where(states < 0, 0, self.child_offsets[known + 1] - first)
        place = torch.arange(self.fan_outs[level], device=states.device)
        exists = place < count.unsqueeze(-1)
        following = torch.where(exists, first.unsqueeze(-1) + place, -1)
        return torch.where(exists, self.code[following.clamp(min=0)], -1), following

    def item_of(self, leaf_states: Tensor) -> Tensor:
        """Item indices of leaf states [...]; -1 for states that are no leaves."""
        leaf = leaf_states - (self.states - self.items)
        return torch.where(leaf >= 0, self.order[leaf.clamp(min=0)], -1)


def _check(codes: np.ndarray, sizes: tuple[int, ...]) -> None:
    if codes.ndim != 2 or codes.shape[1] != len(sizes) or 0 in codes.shape:
        raise ValueError(f"expected codes of the shape [items, {len(sizes)}], got {list(codes.shape)}")
    if (codes < 0).any() or (codes >= np.asarray(sizes)).any():
        raise ValueError(f"codes must lie in 0 .. size - 1 of their level; sizes are {tuple(sizes)}")


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
