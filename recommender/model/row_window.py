"""The few token rows that a step looks at, gathered from a table that may be large and lie elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: rows that move from one device to another at once
_AT_ONCE = 1 << 16


def rows_at(table: Tensor, codes: Tensor) -> Tensor:
    """Return the rows [..., hidden] of codes [...] on their device; a table [all codes, hidden] may lie on another one.

    From there they come a part at a time, so that neither device holds them twice.
    """
    if table.device == codes.device:
        return table[codes]
    places = codes.flatten().to(table.device)
    found = torch.empty(len(places), table.shape[1], dtype=table.dtype, device=codes.device)
    for start in range(0, len(places), _AT_ONCE):
        found[start : start + _AT_ONCE] = table[places[start : start + _AT_ONCE]].to(codes.device)
    return found.view(*codes.shape, -1)


@dataclass(frozen=True)
class RowWindow:
    """Distinct codes int64 [n], ascending, and copies of their rows [n, hidden], which gradients are computed for."""

    codes: Tensor
    rows: Tensor

    @classmethod
    def of(cls, table: Tensor, codes: Tensor) -> RowWindow:
        """Gather the rows of `codes` [m] from a table [all codes, hidden], onto the device of the codes."""
        distinct = codes.unique()
        rows = rows_at(table.detach(), distinct)
        return cls(distinct, rows.requires_grad_(torch.is_grad_enabled()))

    def at(self, codes: Tensor) -> Tensor:
        """Return the rows [..., hidden] of codes [...], all of which must be in the window."""
        return self.rows[torch.searchsorted(self.codes, codes)]
