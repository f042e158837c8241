"""Histories as batches of windows of similar length, in which every position learns the next item."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

START = -1
"""The input before the first item of a window; also the padding behind its last item."""


@dataclass(frozen=True)
class WindowBatch:
    """Windows side by side.

    inputs: int64 [windows, places], one START, catalogue indices, and START as padding at the end, which a network that
        looks only backwards never sees.
    targets: int64 [windows, places], the next item at each position, -1 where there is none.
    users: int64 [windows], the user of each window.
    """

    inputs: np.ndarray
    targets: np.ndarray
    users: np.ndarray


def input_rows(histories: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Return the last `length` - 1 items of each history behind START: int64 [histories, at most length]."""
    recent = [history[max(len(history) - length + 1, 0) :] for history in histories]
    table = np.full((len(recent), 1 + max(map(len, recent), default=0)), START, dtype=np.int64)
    for row, history in zip(table, recent, strict=True):
        row[1 : 1 + len(history)] = history
    return table


def epoch_batches(
    histories: Sequence[np.ndarray], length: int, places: int, generator: np.random.Generator
) -> Iterator[WindowBatch]:
    """Yield every item of every history once as a target, in batches of about `places` positions, in random order.

    Long histories are cut into windows of up to `length` positions, at other points in every epoch. Windows of similar
    length are batched together, so that there is little padding.
    """
    windows = [(user, part) for user, history in enumerate(histories) for part in _windows(history, length, generator)]
    lengths = np.array([len(window) for _, window in windows], dtype=np.int64)
    order = np.lexsort((generator.random(len(windows)), lengths))
    groups = _groups(lengths[order], places)
    for group in generator.permutation(len(groups)).tolist():
        yield _batch([windows[index] for index in order[groups[group]].tolist()])


def _windows(history: np.ndarray, length: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Cut a history every `length` items, the first time at a random point."""
    if len(history) <= length:
        return [history] if len(history) else []
    first = int(generator.integers(1, length + 1))
    return np.split(history, np.arange(first, len(history), length))


def _groups(lengths: np.ndarray, places: int) -> list[slice]:
    """Return slices of windows in rising order of length, each with up to `places` positions or a single window."""
    groups, start = [], 0
    for end in range(1, len(lengths) + 1):
        if end == len(lengths) or (end + 1 - start) * lengths[end] > places:
            groups.append(slice(start, end))
            start = end
    return groups


def _batch(windows: Sequence[tuple[int, np.ndarray]]) -> WindowBatch:
    longest = max(len(window) for _, window in windows)
    inputs = np.full((len(windows), longest), START, dtype=np.int64)
    targets = np.full((len(windows), longest), -1, dtype=np.int64)
    for row, (_, window) in enumerate(windows):
        inputs[row, 1 : len(window)] = window[:-1]
        targets[row, : len(window)] = window
    return WindowBatch(inputs, targets, np.array([user for user, _ in windows], dtype=np.int64))
