"""Histories that nobody had, drawn from a table of transitions: a model learns from them as from those of people."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from recommender.progress import Progress

#: an item n interactions before the last weighs DECAY ** n in what follows, the last CONTEXT of them
CONTEXT, DECAY = 10, 0.8
#: powers of how often the earlier and the later item is had, by which a transition is divided
_POWERS = (0.5, 0.45)
#: what is likelier is drawn so much more often
_SHARPNESS = 2.5
_AT_ONCE = 512


def draw_histories(
    transitions: np.ndarray, count: int, length: int, random: np.random.Generator, progress: Progress | None = None
) -> np.ndarray:
    """Return int64 [count, length]: histories without repetitions, oldest first.

    `transitions`: at least 0, [items, items], from row to column; `length`: at most the number of items. The first item is
    drawn by how often it is had; each next one by the transitions from the last `CONTEXT` items together, which are divided
    by powers of how often both items are had.
    """
    had = (transitions.sum(1) + transitions.sum(0)).astype(np.float64)
    following = _relative(transitions)
    drawn = np.zeros((count, length), dtype=np.int64)
    for start in range(0, count, _AT_ONCE):
        if progress:
            progress("drawing histories", start, count)
        _draw(following, had, drawn[start : start + _AT_ONCE], random)
    if progress:
        progress("drawing histories", count, count)
    return drawn


def _draw(following: np.ndarray, had: np.ndarray, drawn: np.ndarray, random: np.random.Generator) -> None:
    """Fill histories [n, length], one place of all of them after the other."""
    count, length = drawn.shape
    users = np.arange(count)
    free = np.ones((count, len(had)), dtype=bool)
    for place in range(length):
        likely = np.broadcast_to(had, free.shape)
        if place:
            last = drawn[:, max(place - CONTEXT, 0) : place]
            weights = np.tile(DECAY ** np.arange(last.shape[1])[::-1], count)
            rows = np.repeat(users, last.shape[1])
            context = sp.csr_array((weights, (rows, last.ravel())), shape=free.shape, dtype=np.float32)
            likely = (context @ following).astype(np.float64) ** _SHARPNESS
        chosen = _one_each(np.where(free, likely, 0.0), free, random)
        drawn[:, place] = chosen
        free[users, chosen] = False


def _one_each(likely: np.ndarray, free: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return an item [n] of each row, drawn by how likely it is [n, items]; of those that are `free` if none is."""
    hopeless = ~(likely.sum(1) > 0)
    likely[hopeless] = free[hopeless]
    ends = np.cumsum(likely, axis=1)
    # below the last end, of which rounding may else take the place behind it
    points = random.random(len(likely)) * ends[:, -1] * (1 - 1e-12)
    return np.asarray((ends <= points[:, None]).sum(1))


def _relative(transitions: np.ndarray) -> np.ndarray:
    before, after = transitions.sum(1), transitions.sum(0)
    least = max(float(before.mean()) / 50, 1e-9)
    earlier, later = _POWERS
    return np.asarray(
        transitions / np.maximum(before, least)[:, None] ** earlier / np.maximum(after, least) ** later,
        dtype=np.float32,
    )
