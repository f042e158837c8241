"""Discounted gains and NDCG of ranked lists (Järvelin and Kekäläinen, 2002)."""

from __future__ import annotations

import numpy as np


def discounted_gains(ranks: np.ndarray) -> np.ndarray:
    """Return the gain of each rank, counted from 1: 1 / log2(rank + 1)."""
    return 1.0 / np.log2(np.asarray(ranks) + 1)


def single_target_ndcg(ranks: np.ndarray, k: int) -> np.ndarray:
    """Return NDCG@k of lists with one target each, at the rank `ranks` [...] counted from 1; 0 for ranks above k."""
    return np.where(np.asarray(ranks) <= k, discounted_gains(ranks), 0.0)
