"""Histories as batches of equal-length windows, in which every place learns the item that comes next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

START = -1
"""Stands before the first item of a window, and fills it up behind the last one."""


@dataclass(frozen=True)
class WindowBatch:
    """Windows side by side.

    inputs: int64 [windows, places], catalogue indices behind one START, filled up with START at the end: what looks
        only backwards never sees the filling.
    targets: int64 [windows, places], the next item of each place, -1 where there is none.
    users: int64 [windows], whose window it is.
    """

    inputs: np.ndarray
    targets: np.ndarray
    users: np.ndarray


def inputs_of(histories: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Return the last `length` - 1 items of each history behind START: int64 [histories, at most length]."""
    recent = [history[max(len(history) - length + 1, 0) :] for history in histories]
    table = np.full((len(recent), 1 + max(map(len, recent), default=0)), START, dtype=np.int64)
    for row, history in zip(table, recent, strict=True):
        row[1 : 1 + len(history)] = history
    return table


def epoch(
    histories: Sequence[np.ndarray], length: int, places: int, generator: np.random.Generator
) -> Iterator[WindowBatch]:
    """Yield every item of every history once as a target, in batches of about `places` places, in random order.

    Long histories are cut into windows of up to `length` places, elsewhere in every epoch. Windows of one length go
    together, so that little is filled up.
    """
    cut = [(user, piece) for user, history in enumerate(histories) for piece in _pieces(history, length, generator)]
    lengths = np.array([len(piece) for _, piece in cut], dtype=np.int64)
    order = np.lexsort((generator.random(len(cut)), lengths))
    groups = _groups(lengths[order], places)
    for group in generator.permutation(len(groups)).tolist():
        yield _batch([cut[at] for at in order[groups[group]].tolist()])


def _pieces(history: np.ndarray, length: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Cut a history every `length` items, the first cut being a random one."""
    if len(history) <= length:
        return [history] if len(history) else []
    first = int(generator.integers(1, length + 1))
    return np.split(history, np.arange(first, len(history), length))


def _groups(lengths: np.ndarray, places: int) -> list[slice]:
    """Return slices of rising lengths, each of which holds `places` places or one window."""
    groups, start = [], 0
    for end in range(1, len(lengths) + 1):
        if end == len(lengths) or (end + 1 - start) * lengths[end] > places:
            groups.append(slice(start, end))
            start = end
    return groups


def _batch(cut: Sequence[tuple[int, np.ndarray]]) -> WindowBatch:
    widest = max(len(piece) for _, piece in cut)
    inputs = np.full((len(cut), widest), START, dtype=np.int64)
    targets = np.full((len(cut), widest), -1, dtype=np.int64)
    for row, (_, piece) in enumerate(cut):
        inputs[row, 1 : len(piece)] = piece[:-1]
        targets[row, : len(piece)] = piece
    return WindowBatch(inputs, targets, np.array([user for user, _ in cut], dtype=np.int64))
