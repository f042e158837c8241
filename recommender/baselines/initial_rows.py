"""Item embeddings that start from known vectors instead of at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from recommender.numerics.vectors import unit_rows


def initial_rows(vectors: Sequence[np.ndarray], width: int) -> Tensor:
    """Return rows [items, width] that keep the cosines between items of the vectors [items, any width] side by side.

    Each kind of vector is brought to unit length first, so that all kinds weigh the same. The principal components are
    kept and turned by a random rotation, so that no coordinate is larger than another; a row has a mean square of one.
    Items without any vector start at random.
    """
    joined = torch.cat([torch.from_numpy(unit_rows(table)) for table in vectors], 1)
    left, singular_values, _ = torch.linalg.svd(joined, full_matrices=False)
    components = (left * singular_values)[:, :width]
    rotation = torch.linalg.qr(torch.randn(width, width))[0]
    rows = components @ rotation[: components.shape[1]]
    has_vector = torch.from_numpy(np.any(np.concatenate(list(vectors), 1) != 0, axis=1))
    lengths = rows.norm(dim=1, keepdim=True).clamp_min(1e-9)
    return torch.where(has_vector[:, None], rows / lengths * width**0.5, torch.randn(len(rows), width))
