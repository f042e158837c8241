"""Which states of a trie a request may enter: a table of all states, or a list of the few that it may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Mask(Protocol):
    """Tells of states whether an allowed item is below them."""

    def living(self, states: Tensor) -> Tensor:
        """Return for states [B, ...] of B prompts, none negative, which may be entered: bool of the same shape."""


@dataclass(frozen=True)
class DenseMask:
    """`alive` [B, states]: cheapest where a request denies, or allows, a good part of all items."""

    alive: Tensor

    def living(self, states: Tensor) -> Tensor:
        """See Mask."""
        return self.alive.gather(1, states.flatten(1)).view_as(states)


@dataclass(frozen=True)
class SparseMask:
    """`listed` [B, n]: ascending states, padded with a number above all of them; `dead`: whether they are what may not
    be entered, or all that may."""

    listed: Tensor
    dead: bool = True

    def living(self, states: Tensor) -> Tensor:
        """See Mask."""
        asked = states.flatten(1).contiguous()
        place = torch.searchsorted(self.listed, asked).clamp_max(self.listed.shape[1] - 1)
        found = self.listed.gather(1, place) == asked
        return (~found if self.dead else found).view_as(states)


def padded(lists: Sequence[Tensor], fill: int) -> Tensor:
    """Return lists of states as one table [B, n], n at least 1, the shorter ones filled up."""
    return torch.nn.utils.rnn.pad_sequence([*lists, lists[0].new_zeros(1)], True, fill)[:-1].contiguous()
