"""How a training step changes the items that it reads: mixed with their neighbours, dropped by what is known of them.

Only what is read changes, not what is scored. Everything is drawn by torch's generator, and nothing where nothing is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recommender.config import CONTENT_MODALITIES, Modality
from recommender.prompting.example import ITEM

#: both parameters of the Beta distribution of the share of an item that stays: mostly near 0 and 1, as in mixup
_BETA = 0.4


@dataclass(frozen=True)
class Mix:
    """For items [n]: with which item each is mixed, int64, and what share of its own vectors stays, at least half and 1 for
    one that is not mixed, float32."""

    partners: Tensor
    shares: Tensor

    def of(self, own: Tensor, theirs: Tensor, both: Tensor) -> Tensor:
        """Return vectors [n, width] mixed with those of the partners, where `both` [n] have one."""
        shares = torch.where(both, self.shares, 1.0)[:, None]
        return shares * own + (1 - shares) * theirs


@dataclass(frozen=True)
class Augmenting:
    """What a stage changes.

    `neighbour_mix`: share of the items that are read mixed. `neighbours`: int64 [items, k], the nearest in content, -1 where
    there are no more. `trust`: float32 [items], in how far an item's interactions are trusted, and `half`: how many
    interactions give trust of a half; None: dropout is the same for all.
    """

    neighbour_mix: float = 0.0
    neighbours: Tensor | None = None
    trust: Tensor | None = None
    half: float | None = None

    def mix(self, items: Tensor) -> Mix | None:
        """Draw with what items [n] are mixed; None without neighbours.

        Vectors between an item and one of its nearest (Chawla et al., "SMOTE", JAIR 2002), with a share from a Beta
        distribution (Zhang et al., "mixup: Beyond empirical risk minimization", ICLR 2018), of which the larger part is the
        item's own, for its label stays what it is.
        """
        if not self.neighbour_mix or self.neighbours is None or not self.neighbours.shape[1]:
            return None
        near = self.neighbours[items]
        drawn = torch.randint(near.shape[1], (len(items), 1), device=items.device)
        partners = near.gather(1, drawn)[:, 0]
        beta = torch.distributions.Beta(*torch.full((2,), _BETA, device=items.device)).sample((len(items),))
        mixed = (torch.rand(len(items), device=items.device) < self.neighbour_mix) & (partners >= 0)
        return Mix(partners.clamp_min(0), torch.where(mixed, torch.maximum(beta, 1 - beta), 1.0))

    def rates(self, items: Tensor, dropout: float, modalities: Sequence[Modality]) -> float | Tensor:
        """Return with what probability each modality, and last the row, of items [n] is dropped: one number, or [n, parts].

        Noise goes where the counts are few, as in Xie et al., "Data noising as smoothing in neural network language models",
        ICLR 2017, with the weights of Witten and Bell: n / (n + half) for n interactions. Of a rare item the row and the
        collaborative vector, which came from them, are dropped, and the content that it must be read by stays.
        """
        if self.trust is None or not dropout:
            return dropout
        trust = self.trust[items]
        learned = dropout * (1 - trust)
        return torch.stack([*(dropout * trust if m in CONTENT_MODALITIES else learned for m in modalities), learned], 1)

    def thinned(self, values: Tensor, dropout: float, slots: Tensor, segments: Tensor, at: Tensor) -> Tensor:
        """Return `values` [n, hidden] with dropout by how many items their history has.

        `at`: their positions, bool [rows, positions]; `slots`, `segments` [rows, positions] as in Batch. Only
        positions of whole items are thinned. A history of n items has n / (n + half) of the dropout: a short one can spare
        nothing.
        """
        assert self.half is not None
        lengths = _lengths(slots, segments)[at]
        rates = torch.where(slots[at] == ITEM, dropout * lengths / (lengths + self.half), 0.0)[:, None]
        return values * (torch.rand_like(values) >= rates) / (1 - rates)


def _lengths(slots: Tensor, segments: Tensor) -> Tensor:
    """Return for each position how many items its example has, [rows, positions]."""
    numbers = segments - segments.min()
    counts = torch.zeros(len(slots), int(numbers.max()) + 1, dtype=torch.long, device=slots.device)
    counts.scatter_add_(1, numbers.long(), (slots == ITEM).long())
    return counts.gather(1, numbers.long())
