"""Soft targets: what a teacher expects at each training interaction, for knowledge distillation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class SoftTargets:
    """A teacher's likeliest items for each training interaction (Hinton et al., 2015).

    `targets` [interactions]: the item that really came. `items` [interactions, most]: the likeliest ones,
    `probabilities`: theirs, which sum to one. `weight`: the teacher's share of the loss, one for all or [interactions].
    `with_ends`: behind the interactions of each history stands one more that never was: what the teacher expects next.
    """

    targets: Tensor
    items: Tensor
    probabilities: Tensor
    weight: float | Tensor
    with_ends: bool = False

    def weight_at(self, interaction_ids: Tensor) -> float | Tensor:
        """Return the teacher's share of the loss at some interactions: a number, or [labels] where they differ."""
        if isinstance(self.weight, Tensor):
            return self.weight[interaction_ids.clamp_min(0).to(self.weight.device)].to(interaction_ids.device)
        return self.weight

    def at(self, interaction_ids: Tensor, codes: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """Return the expected codes [labels, most] of one level and their probabilities.

        Only items count that share all earlier levels with the item that came; `codes` [items, levels] of all items. The
        probabilities are zero for an interaction id of -1, and where no expected item shares those levels.
        """
        # the tables may be too large for the device of the model
        rows = interaction_ids.clamp_min(0).to(self.targets.device)
        targets, items = self.targets[rows].to(codes.device), self.items[rows].to(codes.device).long()
        same_prefix = (codes[items, :level] == codes[targets, None, :level]).all(-1)
        has_id = (interaction_ids >= 0)[:, None]
        probabilities = self.probabilities[rows].to(codes.device).float() * same_prefix * has_id
        return codes[items, level], probabilities / probabilities.sum(1, keepdim=True).clamp_min(1e-9)
