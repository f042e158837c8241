"""Losses of a next item: over the whole catalogue, or against a few items that did not come next.

All take states [n, width], the rows of all items [items, width] and the targets [n], and return the mean over n. Whom
the states belong to, users [n], matters only to the one that draws no item the user has seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class Seen:
    """Who has seen what, as one sorted table of pairs."""

    def __init__(self, histories: Sequence[np.ndarray], items: int) -> None:
        self.items = items
        pairs = [np.unique(history) + user * items for user, history in enumerate(histories)]
        self._pairs = torch.from_numpy(np.concatenate([*pairs, np.array([len(histories) * items])]))

    def __call__(self, users: Tensor, items: Tensor) -> Tensor:
        """Return bool [n]: has this user [n] seen this item [n]?"""
        pairs = users * self.items + items
        return self._pairs[torch.searchsorted(self._pairs, pairs)] == pairs


def softmax(states: Tensor, rows: Tensor, targets: Tensor, users: Tensor) -> Tensor:
    """Cross-entropy over the whole catalogue."""
    return functional.cross_entropy(states @ rows.T, targets)


def binary(seen: Seen, tries: int = 20) -> Loss:
    """Binary cross-entropy of the target and of one item a place that the user has not seen.

    Kang and McAuley, "Self-attentive sequential recommendation", ICDM 2018. Who has seen nearly everything gets a
    seen item where `tries` draws found no other.
    """

    def loss(states: Tensor, rows: Tensor, targets: Tensor, users: Tensor) -> Tensor:
        drawn = torch.randint(len(rows), targets.shape)
        for _ in range(tries):
            wrong = torch.nonzero(seen(users, drawn))[:, 0]
            if not len(wrong):
                break
            drawn[wrong] = torch.randint(len(rows), wrong.shape)
        positive = (states * rows[targets]).sum(1)
        negative = (states * rows[drawn]).sum(1)
        return (functional.softplus(-positive) + functional.softplus(negative)).mean()

    return loss


def sampled_softmax(negatives: int) -> Loss:
    """Cross-entropy of the target among `negatives` items, drawn evenly and once for all places of a batch.

    The drawn ones stand for the rest of the catalogue: their exponentials count for as many as were not drawn (Jean et
    al., "On using very large target vocabulary for neural machine translation", ACL 2015).
    """

    def loss(states: Tensor, rows: Tensor, targets: Tensor, users: Tensor) -> Tensor:
        positive, negative = _against_drawn(states, rows, targets, negatives)
        each = math.log((len(rows) - 1) / negatives)
        logits = torch.cat([positive[:, None], negative + each], 1)
        return functional.cross_entropy(logits, torch.zeros_like(targets))

    return loss


def generalised_binary(negatives: int, calibration: float) -> Loss:
    """Binary cross-entropy whose positive probability is raised to a power that makes up for the sampling.

    gBCE of Petrov and Macdonald, "gSASRec: reducing overconfidence in sequential recommendation trained with negative
    sampling", RecSys 2023. `calibration` is their t: 0 is the plain loss, 1 calibrates fully. Unlike theirs, the
    negatives are drawn once for all places of a batch: one product of matrices instead of as many rows as places.

    An item starts with the chance that any one has, 1 in as many as there are, instead of a half (the prior of Lin et al.,
    "Focal loss for dense object detection", ICCV 2017): all scores are less by a constant, which changes no ranking.
    Without it, hundreds of wrong items push all states to one side first: validation NDCG@10 on MovieLens-100K was .044
    after 4 epochs and is .088.
    """

    def loss(states: Tensor, rows: Tensor, targets: Tensor, users: Tensor) -> Tensor:
        rate = min(negatives / max(len(rows) - 1, 1), 1.0)
        power = rate * (calibration * (1 - 1 / rate) + 1 / rate)
        prior = math.log(len(rows))
        positive, negative = (s - prior for s in _against_drawn(states, rows, targets, negatives))
        return (power * functional.softplus(-positive) + functional.softplus(negative).sum(1)).mean()

    return loss


def _against_drawn(states: Tensor, rows: Tensor, targets: Tensor, negatives: int) -> tuple[Tensor, Tensor]:
    """Return the scores of the targets [n] and of drawn items [n, negatives], -inf where that is the target."""
    drawn = torch.randint(len(rows), (negatives,))
    scores = states @ rows[drawn].T
    return (states * rows[targets]).sum(1), scores.masked_fill(targets[:, None] == drawn, -torch.inf)
