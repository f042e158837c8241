"""Where training starts: code rows from the items' vectors, and a ranking norm that gives scores a spread near one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recommender.config import Modality
from recommender.encoders.features import Features
from recommender.model.architecture import norm_factors
from recommender.numerics.vectors import unit_rows
from recommender.semantic_ids.codes import SemanticIds

#: rows up to which all are made at once; above, they are made in place, and noise is drawn only where it is needed
WHOLE_UP_TO = 50_000
_PART = 65_536


def initial_rows(
    ids: SemanticIds,
    features: Features,
    hidden_size: int,
    spread: float,
    seed: int,
    use: Sequence[Modality] = ("text", "knowledge", "collaborative"),
) -> Tensor:
    """Return the first rows [codes, hidden]: for each code the mean of its items' vectors of the modalities `use`.

    The joined vectors are mapped into the hidden space by a random orthonormal map, which keeps their angles, and scaled
    to `spread`, the mean distance of a word's embedding from the centre. Codes without vectors start at random.
    """
    generator = torch.Generator().manual_seed(seed)
    if sum(ids.sizes) > WHOLE_UP_TO:
        return _many_rows(ids, features, hidden_size, spread, generator, use)
    parts = [torch.from_numpy(unit_rows(features.vectors[m])) for m in use if m in features.vectors]
    count = int(sum(ids.sizes))
    noise = torch.randn(count, hidden_size, generator=generator) / hidden_size**0.5
    if not parts:
        return noise * spread
    vectors = torch.cat(parts, 1).float()
    basis = torch.linalg.qr(torch.randn(max(hidden_size, vectors.shape[1]), vectors.shape[1], generator=generator))[0]
    mapped = vectors @ basis.T[:, :hidden_size]
    rows = torch.zeros(count, hidden_size)
    offset = 0
    for level, size in enumerate(ids.sizes):
        rows.index_add_(0, torch.from_numpy(ids.codes[:, level]) + offset, mapped)
        offset += size
    norms = rows.norm(dim=1, keepdim=True)
    return torch.where(norms > 0, rows / norms.clamp_min(1e-9), noise) * spread


def _many_rows(
    ids: SemanticIds,
    features: Features,
    hidden_size: int,
    spread: float,
    generator: torch.Generator,
    use: Sequence[Modality],
) -> Tensor:
    """Return `initial_rows` of a large catalogue, in the memory of one such table."""
    tables = [features.vectors[m] for m in use if m in features.vectors]
    rows = torch.zeros(int(sum(ids.sizes)), hidden_size)
    width = sum(table.shape[1] for table in tables)
    if width:
        basis = torch.linalg.qr(torch.randn(max(hidden_size, width), width, generator=generator))[0]
        offsets = np.cumsum([0, *ids.sizes[:-1]])
        for start in range(0, ids.items, _PART):
            part = slice(start, start + _PART)
            joined = torch.from_numpy(np.concatenate([unit_rows(table[part]) for table in tables], 1)).float()
            mapped = joined @ basis.T[:, :hidden_size]
            for level, offset in enumerate(offsets.tolist()):
                rows.index_add_(0, torch.from_numpy(ids.codes[part, level]) + offset, mapped)
    for part_of_rows in rows.split(_PART):
        norms = part_of_rows.norm(dim=1, keepdim=True)
        part_of_rows.mul_(spread / norms.clamp_min(1e-9))
        empty = (norms == 0)[:, 0]
        noise = torch.randn(int(empty.sum()), hidden_size, generator=generator)
        part_of_rows[empty] = noise * (spread / hidden_size**0.5)
    return rows


def initial_ranking_norm(norm: Any, spread: float, scores: float = 1.0) -> nn.Module:
    """Return a copy of the LLM's last norm, scaled so that the first scores over random rows have a spread near `scores`."""
    copied = copy.deepcopy(norm).float().requires_grad_(True)
    factors = norm_factors(copied)
    factor = scores / (spread * float(factors.pow(2).mean().sqrt()))
    copied.weight.data.add_(factors * (factor - 1))
    if getattr(copied, "bias", None) is not None:
        copied.bias.data.mul_(factor)
    return copied
