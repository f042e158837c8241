"""The last item of each history, held out to see when a neural baseline has learnt enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.numerics.gains import single_target_ndcg


@dataclass(frozen=True)
class HeldOut:
    """Histories and the item that came next, int64 [users]."""

    histories: Sequence[np.ndarray]
    targets: np.ndarray


def hold_out(histories: Sequence[np.ndarray]) -> tuple[list[np.ndarray], HeldOut]:
    """Return the histories without their last items, and these; a history of one item stays whole."""
    train = [history[:-1] if len(history) > 1 else history for history in histories]
    held = [history for history in histories if len(history) > 1]
    targets = np.array([history[-1] for history in held], dtype=np.int64)
    return train, HeldOut([history[:-1] for history in held], targets)


def ndcg(scores: Callable[[Sequence[np.ndarray]], np.ndarray], held: HeldOut, k: int = 10, batch: int = 512) -> float:
    """Return the mean NDCG@k of the held out items among all that are not in the history; ties count against them."""
    total = 0.0
    for start in range(0, len(held.targets), batch):
        some, targets = held.histories[start : start + batch], held.targets[start : start + batch]
        found = scores(some)
        wanted = found[np.arange(len(some)), targets].copy()
        for row, history in zip(found, some, strict=True):
            row[history] = -np.inf
        found[np.arange(len(some)), targets] = wanted
        ranks = (found >= wanted[:, None]).sum(axis=1)
        total += float(single_target_ndcg(ranks, k).sum())
    return total / len(held.targets)
