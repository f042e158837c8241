"""Rows of items that start from what is known of them instead of at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from recommender.numerics.vectors import unit_rows


def rows_from(vectors: Sequence[np.ndarray], width: int) -> Tensor:
    """Return rows [items, width] in which items stand to each other as in the vectors [items, any width] side by side.

    Each kind of vector is brought to unit length first, so that all weigh the same. Their main components are kept and
    turned by a random rotation, so that no coordinate is more than another; a row has a mean square of one. Items
    without any vector start at random.
    """
    meaning = torch.cat([torch.from_numpy(unit_rows(table)) for table in vectors], 1)
    left, strength, _ = torch.linalg.svd(meaning, full_matrices=False)
    main = (left * strength)[:, :width]
    rotation = torch.linalg.qr(torch.randn(width, width))[0]
    rows = main @ rotation[: main.shape[1]]
    known = torch.from_numpy(np.any(np.concatenate(list(vectors), 1) != 0, axis=1))
    lengths = rows.norm(dim=1, keepdim=True).clamp_min(1e-9)
    return torch.where(known[:, None], rows / lengths * width**0.5, torch.randn(len(rows), width))
