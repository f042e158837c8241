"""Which positions of packed rows may attend to which: told by a few numbers for each position, and drawn where asked for.

A mask of all pairs is as large as the longest row times all positions, and hardly anything reads it: on a CPU rows are cut
into blocks, and on a GPU examples attend as sequences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class RowMask:
    """Integer tensors [rows, positions], from which it follows what each position may attend to.

    `segments`: 0 is the shared instruction, 1, 2, ... are examples that attend to it, -1 is padding, and lower numbers are
    examples with an instruction of their own. `branches`: 0 is the trunk of an example, others are branches of it.
    `anchors`: the place in the row up to which a position sees the trunk.
    """

    segments: Tensor
    anchors: Tensor
    branches: Tensor

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self.segments.device

    @cached_property
    def whole(self) -> Tensor:
        """True where a position may attend to another, bool [rows, 1, positions, positions]; drawn once."""
        return _may_attend(self._table, self._table)[:, None]

    def block(self, row: int, start: int, stop: int, prefix: int) -> Tensor:
        """Return what a row's positions from `start` to `stop` may attend to, bool [stop - start, keys].

        Keys are the first `prefix` positions of the row and those of the block; the block alone if it begins the row.
        """
        asking = self._table[:, row, start:stop]
        return _may_attend(asking, torch.cat([self._table[:, row, :prefix], asking], 1) if start else asking)

    @cached_property
    def _table(self) -> Tensor:
        """What is compared, int64 [6, rows, positions]: see `_may_attend`.

        Comparing all pairs is what costs, so whatever can be told of one position is told here.
        """
        segments, branches = self.segments, self.branches
        places = torch.arange(segments.shape[1], device=self.device).expand_as(segments)
        of_example = torch.where(segments > 0, 0, segments)
        own_branch = segments * (branches.max() + 1) + branches
        last_of_trunk = torch.minimum(self.anchors, places)
        on_trunk = torch.where(branches == 0, places, segments.shape[1])
        return torch.stack([segments, of_example, own_branch, last_of_trunk, on_trunk, places])

    def each(self, change: Callable[[Tensor], Tensor]) -> RowMask:
        """Return it with each of its tensors changed: moved, pinned."""
        return RowMask(change(self.segments), change(self.anchors), change(self.branches))


def _may_attend(asking: Tensor, seen: Tensor) -> Tensor:
    """Return which positions may attend to which, bool [..., asking, seen], of columns [6, ..., positions] of `_table`.

    Attention is causal, within the segment and, unless the example stands alone, to the instruction; a branch attends only
    to the trunk up to its anchor and to itself. So a padded position attends to padding up to itself, or its softmax would
    be NaN.
    """
    segments, instructions, branches, anchors, _, places = asking[..., :, None]
    others, _, other_branches, _, on_trunk, other_places = seen[..., None, :]
    mask = (others == segments).logical_or_(others == instructions).logical_and_(on_trunk <= anchors)
    return mask.logical_or_((other_branches == branches).logical_and_(other_places <= places))
