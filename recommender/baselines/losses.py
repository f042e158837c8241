"""Losses for the next item: over the whole catalogue, or against a few sampled items.

All take states [n, width], the rows of all items [items, width], the targets [n] and the users [n] that the states
belong to, and return the mean over n. Only `binary` uses the users: it draws no item that its user has seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""States, item rows, targets and users -> a scalar."""


class SeenPairs:
    """Tells whether a user has seen an item, by search in a sorted table of pairs."""

    def __init__(self, histories: Sequence[np.ndarray], items: int) -> None:
        self.items = items
        pairs = [np.unique(history) + user * items for user, history in enumerate(histories)]
        self._pairs = torch.from_numpy(np.concatenate([*pairs, np.array([len(histories) * items])]))

    def __call__(self, users: Tensor, items: Tensor) -> Tensor:
        """Return bool [n]: whether each user [n] has seen the item [n] beside it."""
        pairs = users * self.items + items
        return self._pairs[torch.searchsorted(self._pairs, pairs)] == pairs


def softmax(states: Tensor, rows: Tensor, targets: Tensor, users: Tensor) -> Tensor:
    """Cross-entropy over the whole catalogue."""
    return functional.cross_entropy(states @ rows.T, targets)


def binary(seen: SeenPairs, tries: int = 20) -> Loss:
    """Binary cross-entropy of the target and of one drawn item that the user has not seen.

    Kang and McAuley, "Self-attentive sequential recommendation", ICDM 2018. A user who has seen nearly everything gets
    a seen item after `tries` vain draws.
    """

    def loss(states: Tensor, rows: Tensor, targets: Tensor, users: Tensor) -> Tensor:
        drawn = torch.randint(len(rows), targets.shape)
        for _ in range(tries):
            seen_places = torch.nonzero(seen(users, drawn))[:, 0]
            if not len(seen_places):
                break
            drawn[seen_places] = torch.randint(len(rows), seen_places.shape)
        positive = (states * rows[targets]).sum(1)
        negative = (states * rows[drawn]).sum(1)
        return (functional.softplus(-positive) + functional.softplus(negative)).mean()

    return loss


def sampled_softmax(negatives: int) -> Loss:
    """Cross-entropy of the target among `negatives` items, drawn uniformly and once for all positions of a batch.

    The drawn items stand for the rest of the catalogue: their exponentials are scaled up to its size (Jean et al., "On
    using very large target vocabulary for neural machine translation", ACL 2015).
    """

    def loss(states: Tensor, rows: Tensor, targets: Tensor, users: Tensor) -> Tensor:
        positive, negative = _sampled_scores(states, rows, targets, negatives)
        log_scale = math.log((len(rows) - 1) / negatives)
        logits = torch.cat([positive[:, None], negative + log_scale], 1)
        return functional.cross_entropy(logits, torch.zeros_like(targets))

    return loss


def generalised_binary(negatives: int, calibration: float) -> Loss:
    """Binary cross-entropy whose positive probability is raised to a power that corrects for the sampling.

    gBCE of Petrov and Macdonald, "gSASRec: reducing overconfidence in sequential recommendation trained with negative
    sampling", RecSys 2023. `calibration` is their t: 0 is the plain loss, 1 calibrates fully. Unlike theirs, the
    negatives are drawn once for all positions of a batch: one matrix product instead of a set of rows for each
    position.

    An item starts with a probability of 1 / items instead of a half (the prior of Lin et al., "Focal loss for dense
    object detection", ICCV 2017): all scores are lowered by a constant, which changes no ranking. Without it, hundreds
    of negatives first push all states to one side: validation NDCG@10 on MovieLens-100K was .044 after 4 epochs, and is
    .088 with it.
    """

    def loss(states: Tensor, rows: Tensor, targets: Tensor, users: Tensor) -> Tensor:
        rate = min(negatives / max(len(rows) - 1, 1), 1.0)
        power = rate * (calibration * (1 - 1 / rate) + 1 / rate)
        prior = math.log(len(rows))
        positive, negative = (s - prior for s in _sampled_scores(states, rows, targets, negatives))
        return (power * functional.softplus(-positive) + functional.softplus(negative).sum(1)).mean()

    return loss


def _sampled_scores(states: Tensor, rows: Tensor, targets: Tensor, negatives: int) -> tuple[Tensor, Tensor]:
    """Return the scores of the targets [n] and of drawn items [n, negatives], -inf where that is the target."""
    drawn = torch.randint(len(rows), (negatives,))
    scores = states @ rows[drawn].T
    return (states * rows[targets]).sum(1), scores.masked_fill(targets[:, None] == drawn, -torch.inf)
