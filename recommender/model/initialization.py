"""Where training starts: code rows from the items' vectors, and a ranking norm that gives scores a spread near one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recommender.config import Modality
from recommender.encoders.features import Features
from recommender.model.architecture import norm_factors
from recommender.numerics.vectors import unit_rows
from recommender.semantic_ids.codes import SemanticIds


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


def initial_ranking_norm(norm: Any, spread: float) -> nn.Module:
    """Return a copy of the LLM's last norm, scaled so that the first scores over random rows have a spread near one."""
    copied = copy.deepcopy(norm).float().requires_grad_(True)
    factors = norm_factors(copied)
    factor = 1 / (spread * float(factors.pow(2).mean().sqrt()))
    copied.weight.data.add_(factors * (factor - 1))
    if getattr(copied, "bias", None) is not None:
        copied.bias.data.mul_(factor)
    return copied
