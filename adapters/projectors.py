"""Projectors: map the vectors of frozen encoders to soft tokens in the token space of the language model.

The Linear-GELU-Linear shape follows LLaVA-1.5 (arXiv 2310.03744).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

HIDDEN_WIDTH = 256


class Projector(nn.Module):
    """Project one modality's vector of an item to soft tokens; an absent vector becomes the learned null tokens.

    The vector may be that of several parts, regions of a picture or spans of a sound, one behind the other. All go through
    the same weights, as the patches of LLaVA do.
    """

    def __init__(self, width: int, hidden_size: int, tokens: int, scale: float, parts: int = 1) -> None:
        """Make a projector from [width] to [parts * tokens, hidden_size].

        `width`: of the vectors of all `parts` together; `tokens`: soft tokens of each part; `scale`: the norm of a soft
        token before training.
        """
        super().__init__()
        self.tokens, self.parts = tokens, parts
        self.enter = nn.Linear(width // parts, HIDDEN_WIDTH)
        self.leave = nn.Linear(HIDDEN_WIDTH, tokens * hidden_size)
        self.null = nn.Parameter(torch.zeros(parts * tokens, hidden_size))
        # inputs have about unit variance, GELU keeps about 0.6 of it: this std gives that norm
        std = scale / (0.6 * HIDDEN_WIDTH**0.5 * hidden_size**0.5)
        nn.init.normal_(self.leave.weight, std=std)
        nn.init.zeros_(self.leave.bias)
        nn.init.normal_(self.null, std=scale / hidden_size**0.5)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Map vectors [items, width] and present [items] (bool) to soft tokens [items, parts * tokens, hidden_size]."""
        projected = self.leave(self.inner(vectors)).unflatten(-1, (self.tokens, -1)).flatten(1, 2)
        return torch.where(present[:, None, None], projected, self.null)

    def inner(self, vectors: Tensor) -> Tensor:
        """Return what the last matrix gets of vectors [items, width]: [items, parts, HIDDEN_WIDTH]."""
        found: Tensor = nn.functional.gelu(self.enter(vectors.unflatten(-1, (self.parts, -1))))
        return found

    def as_position(self, projected: Tensor) -> Tensor:
        """Return what soft tokens [items, parts * tokens, hidden_size] add to the one position [items, hidden_size] of an
        item: the mean of its parts, of each the sum."""
        return projected.sum(1) / self.parts
