"""Membership inference: can somebody tell from a model whose histories it learned? Two attacks, run by ourselves.

By loss: a history that was learned has a lower loss than under a model that never saw it; the difference is the score, as in
Watson et al., "On the importance of difficulty calibration in membership inference attacks", ICLR 2022. By lists: from the
first half of a history a model that learned it lists more of the second half than a model that did not. Both need a
reference: a model that learned none of the people in question. Members and others are matched by how much they have had,
else an attack would tell who is active.

`attack` takes one model, so that it can be asked before and after somebody is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from recommender.errors import DataError
from recommender.model.checkpoint import Checkpoint
from recommender.progress import Progress
from recommender.training.epochs import as_batch
from recommender.training.validation import rank_histories

LISTED = 50
FALSE_POSITIVES = 0.01
SAMPLES = 2000
ATTACKS = ("loss", "lists")
#: people whose losses are computed together
_TOGETHER = 8
#: the fewest interactions of a history of which two halves tell something
SHORTEST = 4


@dataclass(frozen=True)
class Scores:
    """How much a model seems to know of each person: `loss` [people] and `lists` [people], more is more."""

    loss: np.ndarray
    lists: np.ndarray


@dataclass(frozen=True)
class Attack:
    """How well scores tell members from others. `low`, `high`: 95 % bootstrap intervals over people, of both groups.

    `true_positives`: the share of members that is found while at most one in a hundred others is taken for one.
    """

    auc: float
    auc_low: float
    auc_high: float
    true_positives: float
    true_positives_low: float
    true_positives_high: float
    members: int
    others: int

    def told(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "auc": _rounded(self.auc),
            "auc_interval": [_rounded(self.auc_low), _rounded(self.auc_high)],
            "true_positives_at_1_percent": _rounded(self.true_positives),
            "true_positives_interval": [_rounded(self.true_positives_low), _rounded(self.true_positives_high)],
            "members": self.members,
            "others": self.others,
        }


def knowledge(
    checkpoint: Checkpoint, histories: Sequence[np.ndarray], listed: int = LISTED, progress: Progress | None = None
) -> Scores:
    """Return what a model tells of people, by their histories alone [items, oldest first].

    Loss: the negative mean of an item, of the last as many as a prompt holds. Lists: the share of the second half of these
    that is among the `listed` best for the first half.
    """
    window = checkpoint.config.prompt.history
    recent = [np.asarray(history)[-window - 1 :] for history in histories]
    losses = _losses(checkpoint, recent, progress)
    halves = [(history[: len(history) // 2], history[len(history) // 2 :]) for history in recent]
    lists: list[np.ndarray] = []
    for start in range(0, len(halves), _TOGETHER):
        firsts = [first for first, _ in halves[start : start + _TOGETHER]]
        lists += rank_histories(checkpoint.model, checkpoint.builder, firsts, listed, listed)
        if progress:
            progress("lists of people", len(lists), len(halves))
    overlap = [np.isin(np.unique(rest), ranked).mean() for ranked, (_, rest) in zip(lists, halves, strict=True)]
    return Scores(-losses, np.array(overlap))


@torch.no_grad()
def _losses(checkpoint: Checkpoint, histories: Sequence[np.ndarray], progress: Progress | None) -> np.ndarray:
    """Return the mean loss of an item of each history, float64 [people]."""
    model, builder = checkpoint.model.eval(), checkpoint.builder
    losses = np.zeros(len(histories))
    for place, history in enumerate(histories):
        loss, labels = model(as_batch([[builder.ranking(history)]], builder.prefix).to(model.device))
        losses[place] = float(loss) / max(int(labels), 1)
        if progress:
            progress("losses of people", place + 1, len(histories))
    return losses


def attack(
    target: Scores, reference: Scores, member: np.ndarray, seed: int = 0, samples: int = SAMPLES
) -> dict[str, Attack]:
    """Return both attacks on a model, by their names; `member`, bool [people]: whose histories it may have learned.

    `target`, `reference`: what the model and one that learned none of them tell of these people. Raises DataError unless
    there are people of both kinds.
    """
    return {
        "loss": measured(target.loss - reference.loss, member, seed, samples),
        "lists": measured(target.lists - reference.lists, member, seed, samples),
    }


def measured(scores: np.ndarray, member: np.ndarray, seed: int = 0, samples: int = SAMPLES) -> Attack:
    """Return how well scores [people] tell members, bool [people], from others."""
    inside, outside = scores[member], scores[~member]
    if not len(inside) or not len(outside):
        raise DataError(
            f"{len(inside)} people were learned from and {len(outside)} were not: both are needed for an attack",
            "train with data.users below the number of all, or give others: --others TABLE",
        )
    random = np.random.default_rng(seed)
    drawn = [(random.choice(inside, len(inside)), random.choice(outside, len(outside))) for _ in range(samples)]
    aucs = np.array([auc(*pair) for pair in drawn])
    found = np.array([true_positives(*pair) for pair in drawn])
    ends = [np.quantile(values, [0.025, 0.975]) for values in (aucs, found)]
    return Attack(
        auc(inside, outside),
        float(ends[0][0]),
        float(ends[0][1]),
        true_positives(inside, outside),
        float(ends[1][0]),
        float(ends[1][1]),
        len(inside),
        len(outside),
    )


def auc(inside: np.ndarray, outside: np.ndarray) -> float:
    """Return the chance that a member's score is higher than another person's; equal scores count half."""
    ordered = np.sort(outside)
    below, upto = np.searchsorted(ordered, inside, "left"), np.searchsorted(ordered, inside, "right")
    return float((below + upto).mean() / 2 / len(outside))


def true_positives(inside: np.ndarray, outside: np.ndarray, false_positives: float = FALSE_POSITIVES) -> float:
    """Return the share of members above the lowest bar that at most a share of `false_positives` of the others clears."""
    allowed = int(false_positives * len(outside))
    bar = np.sort(outside)[::-1][allowed]
    return float((inside > bar).mean())


def roc(scores: np.ndarray, member: np.ndarray) -> tuple[list[float], list[float]]:
    """Return (false positives, true positives), both rising from 0 to 1, at every bar between scores [people]."""
    bars = np.unique(scores)[::-1]
    rates = [[float((scores[of] >= bar).mean()) for bar in bars] for of in (~member, member)]
    return [0.0, *rates[0]], [0.0, *rates[1]]


def alike(inside: Sequence[int], outside: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return places of members and of others, as many of each, whose numbers of interactions are alike, pair by pair.

    Each of the smaller group is paired, the busiest first, with the nearest of the larger one that is left.
    """
    swap = len(inside) > len(outside)
    few, many = (outside, inside) if swap else (inside, outside)
    free, pairs = np.ones(len(many), bool), []
    sizes = np.asarray(many, np.float64)
    for place in np.argsort(-np.asarray(few), kind="stable"):
        distance = np.where(free, np.abs(np.log(sizes) - np.log(few[place])), np.inf)
        nearest = int(distance.argmin())
        free[nearest] = False
        pairs.append((int(place), nearest))
    first, second = (np.array(column, np.int64) for column in zip(*pairs, strict=True)) if pairs else (_none(), _none())
    return (second, first) if swap else (first, second)


def _none() -> np.ndarray:
    return np.zeros(0, np.int64)


def _rounded(value: float) -> float:
    return round(value, 4)
