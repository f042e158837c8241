"""The training losses: cross-entropy over words, cross-entropy over the codes of each level, and a teacher's share of it.

The training loop (`training/loop.py`) divides these sums by the number of labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from recommender.model.large_softmax import Expected
from recommender.model.soft_targets import SoftTargets

#: (hidden states [labels, hidden], level) -> scores [labels, codes of that level]
LevelLogits = Callable[[Tensor, int], Tensor]
#: (hidden states [labels, hidden], codes [labels], level, label smoothing, what a teacher expects) -> losses [labels] of a
#: level that is too large to be scored as a whole; None for one that is not
LevelLosses = Callable[[Tensor, Tensor, int, float, Expected | None], Tensor | None]


def word_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the summed cross-entropy of next words; `logits` [labels, vocabulary], `labels` [labels]."""
    return nn.functional.cross_entropy(logits.float(), labels, reduction="sum")


def ranking_loss(
    level_logits: LevelLogits,
    hidden: Tensor,
    codes: Tensor,
    offsets: Sequence[int],
    smoothing: float = 0.0,
    teacher: SoftTargets | None = None,
    interaction_ids: Tensor | None = None,
    item_codes: Tensor | None = None,
    large: LevelLosses | None = None,
) -> Tensor:
    """Return the summed cross-entropy of next codes, level by level, each over the codes of its own level.

    `hidden` [labels, hidden], `codes` [labels], numbered through all levels: those of level l start at `offsets[l]`.
    `teacher`: mixed in where it expects something; it needs `interaction_ids` [labels] and `item_codes` [items, levels].
    `large`: computes the losses of large levels.
    """
    total = hidden.new_zeros(())
    for level in range(len(offsets) - 1):
        first = int(offsets[level])
        of_level = (codes >= first) & (codes < int(offsets[level + 1]))
        expected = None
        if teacher is not None and interaction_ids is not None and item_codes is not None:
            ids = interaction_ids[of_level]
            theirs, probabilities = teacher.at(ids, item_codes, level)
            expected = Expected(theirs - first, probabilities, teacher.weight_at(ids))
        if large is not None:
            few = large(hidden[of_level], codes[of_level] - first, level, smoothing, expected)
            if few is not None:
                total = total + few.sum()
                continue
        logits = level_logits(hidden[of_level], level).float()
        losses = nn.functional.cross_entropy(
            logits, codes[of_level] - first, reduction="none", label_smoothing=smoothing
        )
        if expected is not None:
            losses = distillation_loss(losses, logits, expected.codes, expected.probabilities, expected.weight)
        total = total + losses.sum()
    return total


def distillation_loss(
    losses: Tensor, logits: Tensor, codes: Tensor, probabilities: Tensor, weight: float | Tensor
) -> Tensor:
    """Mix losses [labels] with the cross-entropy against a teacher's probabilities, whose share is `weight`.

    `logits` [labels, codes of the level]; `codes` and `probabilities` [labels, most] are what the teacher expects. Where
    its probabilities are all zero, it has no answer and the loss stays as it is. Hinton et al., "Distilling the Knowledge
    in a Neural Network", 2015.
    """
    log_probabilities = torch.log_softmax(logits, -1).gather(1, codes)
    has_answer = probabilities.sum(1) > 0
    mixed = (1 - weight) * losses - weight * (probabilities * log_probabilities).sum(1)
    return torch.where(has_answer, mixed, losses)
