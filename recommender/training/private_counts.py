"""Noisy counts of the items that users had: the popularity that a private model may know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def noisy_counts(histories: Sequence[np.ndarray], items: int, noise: float, random: np.random.Generator) -> np.ndarray:
    """Return float64 [items], at least 0: of each item the sum of the users' shares in it, with Gaussian noise.

    A user of n distinct items has a share of 1 / sqrt(n) in each, a vector of norm 1, so `noise`, the deviation, is the
    multiplier of the Gaussian mechanism. Who has much counts little, and the order of the items stays that of popularity.
    """
    counts = np.zeros(items)
    for history in histories:
        distinct = np.unique(history)
        if len(distinct):
            counts[distinct] += len(distinct) ** -0.5
    return np.maximum(counts + random.normal(0.0, noise, items), 0.0)
