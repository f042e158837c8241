"""A low-rank memory of transitions: which items came after which, in the item rows themselves.

Sequence models win where a case asks for memory and language models where it asks for generalisation ("How well does
generative recommendation generalise?", arXiv 2603.19809). A pretrained base has no place to remember which item followed
which, and low-rank adapters of a few layers give it little. So the last items reach the scores beside the layers, too: the
sum of their vectors, the later ones weighing more, goes through one matrix and is added to the final state. Its products
with the item rows are a factorised Markov chain of higher order (Rendle et al., "Factorizing personalized Markov chains for
next-basket recommendation", WWW 2010; He and McAuley, "Fusing similarity models with Markov chains", ICDM 2016), which is
trained together with the layers and shares its rows with them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recommender.prompting.example import ITEM

#: how far the first score of an item that is like the last one stands above the others, in nats
_FIRST_SCORE = 8.0
#: an item weighs exp(-1 / _FIRST_RECENCY) of the one after it, before training
_FIRST_RECENCY = 2.0


class ItemMemory(nn.Module):
    """Adds what the last items of a history expect to the final state of the layers."""

    def __init__(self, hidden_size: int, length: int, spread: float | None) -> None:
        """`length`: how many of the last items it reads; `spread`: the norm of an item's row, see `initial_rows`: what is
        like the last items comes first then; None: beside layers that rank already, to which it adds nothing at first."""
        super().__init__()
        self.length = length
        self.log_weights = nn.Parameter(-torch.arange(length) / _FIRST_RECENCY)
        first = torch.eye(hidden_size) * (_FIRST_SCORE / spread**2) if spread else torch.zeros(hidden_size, hidden_size)
        self.follow = nn.Parameter(first)

    def forward(self, vectors: Tensor, ages: Tensor) -> Tensor:
        """Return what to add to final states, [..., states, hidden].

        `vectors` [..., positions, hidden] of items around their centre; `ages` [..., states, positions]: how many items came
        after that of a position, up to the state; `length` or more where a position holds none that the state may read.
        """
        weights = torch.cat([self.log_weights.exp(), self.log_weights.new_zeros(1)])
        return (weights[ages.clamp_max(self.length)] @ vectors) @ self.follow


def ages_in_rows(slots: Tensor, segments: Tensor, length: int) -> Tensor:
    """Return the ages [rows, positions, positions] of packed rows: for each position those of all items before it.

    `slots`, `segments` [rows, positions] as in Batch. An item at the position itself has age 0; `length` stands for
    positions that hold no item, that come later or that belong to another example.
    """
    is_item = slots == ITEM
    count = is_item.cumsum(1)
    ages = count[:, :, None] - count[:, None, :]
    readable = is_item[:, None, :] & (segments[:, :, None] == segments[:, None, :]) & (ages >= 0)
    places = torch.arange(slots.shape[1], device=slots.device)
    return torch.where(readable & (places[None, :] <= places[:, None]), ages, length).clamp_max(length)


def ages_of_prompts(slots: Tensor, parts: Sequence[slice], length: int) -> Tensor:
    """Return the ages [prompts, positions] at the ends of prompts that lie in one row, each in its part of it.

    `slots` [positions] as in Batch.
    """
    ages = torch.full((len(parts), len(slots)), length, device=slots.device)
    for prompt, part in enumerate(parts):
        is_item = slots[part] == ITEM
        later = is_item.flip(0).cumsum(0).flip(0) - 1
        ages[prompt, part] = torch.where(is_item, later, length).clamp_max(length)
    return ages
