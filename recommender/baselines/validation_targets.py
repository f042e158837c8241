"""The last item of each history as a validation target: for early stopping and for the weights of a fusion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.numerics.gains import single_target_ndcg


@dataclass(frozen=True)
class ValidationTargets:
    """Histories and the item that came next in each, int64 [users]."""

    histories: Sequence[np.ndarray]
    targets: np.ndarray


def split_validation(
    histories: Sequence[np.ndarray], held_out: np.ndarray | None = None
) -> tuple[list[np.ndarray], ValidationTargets]:
    """Return the histories without their last items, and these items as targets; a history of one item stays whole.

    `held_out`, bool [users]: only of these users, all others' histories stay whole.
    """
    takes = [len(h) > 1 and (held_out is None or bool(held_out[user])) for user, h in enumerate(histories)]
    train = [history[:-1] if taken else history for history, taken in zip(histories, takes, strict=True)]
    with_target = [history for history, taken in zip(histories, takes, strict=True) if taken]
    targets = np.array([history[-1] for history in with_target], dtype=np.int64)
    return train, ValidationTargets([history[:-1] for history in with_target], targets)


def mean_ndcg(
    score: Callable[[Sequence[np.ndarray]], np.ndarray], validation: ValidationTargets, k: int = 10, batch: int = 512
) -> float:
    """Return the mean NDCG@k of the targets among all items that are not in the history; ties count against them.

    `score`: histories -> scores [users, items], which are changed in place.
    """
    total = 0.0
    for start in range(0, len(validation.targets), batch):
        histories, targets = validation.histories[start : start + batch], validation.targets[start : start + batch]
        users, scores = np.arange(len(histories)), score(histories)
        target_scores = scores[users, targets].copy()
        for row, history in zip(scores, histories, strict=True):
            row[history] = -np.inf
        scores[users, targets] = target_scores
        ranks = (scores >= target_scores[:, None]).sum(axis=1)
        total += float(single_target_ndcg(ranks, k).sum())
    return total / len(validation.targets)
