"""Histories and scorers for the tests of fusion."""

from __future__ import annotations

import numpy as np

ITEMS = 30


def walks(users: int = 60, length: int = 8) -> list[np.ndarray]:
    """Users who walk through the items one by one."""
    return [np.arange(start, start + length) % ITEMS for start in range(users)]


def follows(histories: list[np.ndarray], strength: float = 5.0) -> np.ndarray:
    """A scorer that knows that the next item is the one after the last."""
    scores = np.zeros((len(histories), ITEMS), np.float32)
    for row, history in zip(scores, histories, strict=True):
        row[(history[-1] + 1) % ITEMS] = strength
    return scores


def noise(histories: list[np.ndarray]) -> np.ndarray:
    """A scorer that knows nothing."""
    return np.random.default_rng(3).normal(size=(len(histories), ITEMS)).astype(np.float32)
