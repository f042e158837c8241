"""Which states of a trie a request may enter: those that an allowed item is below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Mask(Protocol):
    """Tells which states are alive: those that an allowed item is below."""

    def alive(self, states: Tensor) -> Tensor:
        """Return for states [B, ...] of B prompts, none negative, which are alive: bool of the same shape."""

    def alive_from(self, first: int, end: int) -> Tensor:
        """Return which states from `first` on, up to `end`, are alive: bool [B, end - first]. Cheaper for neighbours."""


@dataclass(frozen=True)
class DenseMask:
    """A table of all states: cheapest where a request denies, or allows, a good part of all items."""

    table: Tensor
    """bool [B, states]"""

    def alive(self, states: Tensor) -> Tensor:
        """See Mask."""
        return self.table.gather(1, states.flatten(1)).view_as(states)

    def alive_from(self, first: int, end: int) -> Tensor:
        """See Mask."""
        return self.table[:, first:end]


@dataclass(frozen=True)
class SparseMask:
    """A list of the few states that are dead, or of the few that are alive."""

    listed: Tensor
    """[B, n] ascending states, padded with a number above all of them."""
    dead: bool = True
    """Whether the states listed are the dead ones."""

    def alive(self, states: Tensor) -> Tensor:
        """See Mask."""
        flat = states.flatten(1).contiguous()
        place = torch.searchsorted(self.listed, flat).clamp_max(self.listed.shape[1] - 1)
        is_listed = self.listed.gather(1, place) == flat
        return (~is_listed if self.dead else is_listed).view_as(states)

    def alive_from(self, first: int, end: int) -> Tensor:
        """See Mask. Costs a write for each listed state, not a search for each one asked for."""
        count, place = end - first, self.listed - first
        is_listed = torch.zeros(len(self.listed), count + 1, dtype=torch.bool, device=self.listed.device)
        is_listed.scatter_(1, torch.where((place >= 0) & (place < count), place, count), True)
        return ~is_listed[:, :count] if self.dead else is_listed[:, :count]


def pad_lists(lists: Sequence[Tensor], fill: int) -> Tensor:
    """Return lists of states as one table [B, n], n at least 1, the shorter ones filled up."""
    return torch.nn.utils.rnn.pad_sequence([*lists, lists[0].new_zeros(1)], True, fill)[:-1].contiguous()
