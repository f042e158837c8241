"""The few token rows that a step looks at, gathered from a table that may be large and lie elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RowWindow:
    """Distinct codes int64 [n], ascending, and copies of their rows [n, hidden], which gradients are computed for."""

    codes: Tensor
    rows: Tensor

    @classmethod
    def of(cls, table: Tensor, codes: Tensor) -> RowWindow:
        """Gather the rows of `codes` [m] from a table [all codes, hidden], onto the device of the codes."""
        distinct = codes.unique()
        rows = table.detach()[distinct.to(table.device)].to(codes.device)
        return cls(distinct, rows.requires_grad_(torch.is_grad_enabled()))

    def at(self, codes: Tensor) -> Tensor:
        """Return the rows [..., hidden] of codes [...], all of which must be in the window."""
        return self.rows[torch.searchsorted(self.codes, codes)]
