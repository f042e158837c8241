"""Every beginning of a history as a training case of its own, in windows of one length that end at its last item.

A network that does not only look backwards would see its target among its inputs if all places of a window learned at
once, as they do in windows.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from recommender.baselines.windows import START, WindowBatch

_COVERED = 95
"""Per cent of the histories that a window holds whole."""


def window_length(histories: Sequence[np.ndarray], most: int) -> int:
    """Return an even length from 2 to `most` that 95 % of the histories do not exceed."""
    wanted = int(np.ceil(np.percentile([len(history) for history in histories], _COVERED)))
    even = wanted + wanted % 2
    return max(min(even, most - most % 2), 2)


def end_windows(histories: Sequence[np.ndarray], length: int, cyclic: bool = False) -> np.ndarray:
    """Return the last `length` items of each history, int64 [histories, length].

    In front of a shorter history stands START or, if `cyclic`, the history itself again and again, which a
    reproduction of BSARec found to rank better (ECIR 2026, arXiv 2512.17442). In front of an empty one there is only START.
    """
    joined = np.concatenate([np.empty(0, np.int64), *histories])
    ends = np.cumsum([len(history) for history in histories], dtype=np.int64)
    starts = ends - np.array([len(history) for history in histories], dtype=np.int64)
    return _windows(joined, starts, ends, length, cyclic)


def prefix_batches(
    histories: Sequence[np.ndarray], length: int, cases: int, cyclic: bool, generator: np.random.Generator
) -> Iterator[WindowBatch]:
    """Yield every item of every history once as the target of what came before it, in batches of `cases`, in random order.

    inputs: [cases, length], see `end_windows`; targets: [cases, 1].
    """
    lengths = np.array([len(history) for history in histories], dtype=np.int64)
    joined = np.concatenate([np.empty(0, np.int64), *histories])
    users = np.repeat(np.arange(len(histories)), lengths)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    order = generator.permutation(len(joined))
    for first in range(0, len(order), cases):
        places = order[first : first + cases]
        inputs = _windows(joined, starts[places], places, length, cyclic)
        yield WindowBatch(inputs, joined[places][:, None], users[places])


def _windows(joined: np.ndarray, starts: np.ndarray, ends: np.ndarray, length: int, cyclic: bool) -> np.ndarray:
    """Return the windows [cases, length] that end before the places `ends` of histories that begin at `starts`."""
    back = np.broadcast_to(np.arange(length, 0, -1), (len(ends), length))
    held = (ends - starts)[:, None]
    if cyclic:
        back = (back - 1) % np.maximum(np.minimum(held, length), 1) + 1
    places = ends[:, None] - back
    inside = back <= held
    return np.where(inside, joined[np.where(inside, places, 0)] if len(joined) else START, START)
