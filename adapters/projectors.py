"""Projectors: map the vectors of frozen encoders to soft tokens in the token space of the language model.

The Linear-GELU-Linear shape follows LLaVA-1.5 (arXiv 2310.03744).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

HIDDEN_WIDTH = 256


class Projector(nn.Module):
    """Project one modality's vector of an item to soft tokens; an absent vector becomes the learned null tokens."""

    def __init__(self, width: int, hidden_size: int, tokens: int, scale: float) -> None:
        """Make a projector from [width] to [tokens, hidden_size].

        `scale`: the norm of a soft token before training.
        """
        super().__init__()
        self.tokens = tokens
        self.enter = nn.Linear(width, HIDDEN_WIDTH)
        self.leave = nn.Linear(HIDDEN_WIDTH, tokens * hidden_size)
        self.null = nn.Parameter(torch.zeros(tokens, hidden_size))
        # inputs have about unit variance, GELU keeps about 0.6 of it: this std gives that norm
        std = scale / (0.6 * HIDDEN_WIDTH**0.5 * hidden_size**0.5)
        nn.init.normal_(self.leave.weight, std=std)
        nn.init.zeros_(self.leave.bias)
        nn.init.normal_(self.null, std=scale / hidden_size**0.5)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Map vectors [items, width] and present [items] (bool) to soft tokens [items, tokens, hidden_size]."""
        projected = self.leave(nn.functional.gelu(self.enter(vectors))).unflatten(-1, (self.tokens, -1))
        return torch.where(present[:, None, None], projected, self.null)
