"""Packs examples into rows. Which positions of a row may attend to which, `row_mask` says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from recommender.prompting.example import IGNORE, TOKEN, Example, word_positions
from recommender.prompting.row_mask import RowMask
from recommender.prompting.sequences import Sequences

#: the segment of padding: see `RowMask`
PADDED = -1
GROUP = 128
"""Positions of short examples that attend together: smaller groups save little and cost calls."""


@dataclass(frozen=True)
class Batch:
    """Packed rows. Integer tensors [rows, positions]; `mask`: which positions may attend to which.

    `ends`: for each row the positions where the instruction and each group of examples end; attention crosses them only
    towards the instruction. Empty if unknown. `expected`: of conversations, what `Example.expected` has, of all rows in
    order: [labels that are items, most] twice, and [labels that are items]. `sequences`: for a GPU; None: unknown, or none.
    """

    tokens: Tensor
    items: Tensor
    slots: Tensor
    positions: Tensor
    labels: Tensor
    interaction_ids: Tensor
    mask: RowMask
    writes: bool
    ends: tuple[tuple[int, ...], ...] = ()
    expected: tuple[Tensor, ...] | None = None
    sequences: Sequences | None = None

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on `device`; from pinned memory the copy is awaited by the device only."""
        return self._each(lambda part: part.to(device, non_blocking=part.is_pinned()))

    def pin_memory(self) -> Batch:
        """Return the batch in memory that a GPU copies from while the host goes on."""
        return self._each(Tensor.pin_memory)

    def unlabelled(self) -> Batch:
        """Return a batch of the same positions from which nothing is learned."""
        expected = None if self.expected is None else tuple(part[:0] for part in self.expected)
        return replace(self, labels=torch.full_like(self.labels, IGNORE), expected=expected)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        changed = {name: change(value) for name, value in own.items() if isinstance(value, Tensor)}
        expected = None if self.expected is None else tuple(change(part) for part in self.expected)
        sequences = None if self.sequences is None else self.sequences.each(change)
        return replace(self, **changed, mask=self.mask.each(change), expected=expected, sequences=sequences)


def pack(examples: Sequence[Example], row_tokens: int, prefix: int = 0) -> list[list[int]]:
    """Fill rows of at most `row_tokens` positions with examples, first fit in the given order; returns indices.

    `prefix`: positions that each row spends on the shared instruction. A longer example has a row of its own.
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for index, example in enumerate(examples):
        for row in range(max(len(rows) - 8, 0), len(rows)):  # only the last rows: packing stays linear
            if room[row] >= len(example):
                break
        else:
            rows.append([])
            room.append(row_tokens - prefix)
            row = len(rows) - 1
        rows[row].append(index)
        room[row] -= len(example)
    return rows


def collate(rows: Sequence[Sequence[Example]], prefix: np.ndarray | None = None) -> Batch:
    """Lay rows of examples out as one padded batch; each row begins with the shared `prefix` of token ids."""
    columns_of_rows = [_lay_out(row, prefix if prefix is not None else np.zeros(0, np.int64)) for row in rows]
    longest = max(len(row[0]) for row in columns_of_rows)
    fills = (0, -1, TOKEN, 0, IGNORE, -1, PADDED, 0, 0)
    columns = [
        torch.from_numpy(np.stack([np.pad(a, (0, longest - len(a)), constant_values=fill) for a in arrays]))
        for arrays, fill in zip(zip(*columns_of_rows, strict=True), fills, strict=True)
    ]
    tokens, items, slots, positions, labels, interaction_ids, segments, anchors, branches = columns
    mask = RowMask(segments, anchors, branches)
    size = 0 if prefix is None else len(prefix)
    ends = tuple(_ends(list(map(len, row)), size, longest) for row in rows)
    writes, expected = rows[0][0].writes, _expected([example for row in rows for example in row])
    return Batch(tokens, items, slots, positions, labels, interaction_ids, mask, writes, ends, expected)


def _expected(examples: Sequence[Example]) -> tuple[Tensor, ...] | None:
    answers = [example.expected for example in examples if example.expected is not None]
    if not answers:
        return None
    return tuple(torch.from_numpy(np.concatenate(parts)) for parts in zip(*answers, strict=True))


def _ends(lengths: Sequence[int], prefix: int, longest: int) -> tuple[int, ...]:
    """Return where a row's instruction, its groups of at most `GROUP` positions or one example, and its padding end."""
    ends, at = [prefix], prefix
    for length in lengths:
        if at > ends[-1] and at + length - ends[-1] > GROUP:
            ends.append(at)
        at += length
    return (*ends, *dict.fromkeys((at, longest)))


def _lay_out(row: Sequence[Example], prefix: np.ndarray) -> list[np.ndarray]:
    """Return tokens, items, slots, positions, labels, interaction_ids, segments, anchors, branches of one row."""
    size = len(prefix)
    ignored = np.full(size, IGNORE, dtype=np.int64)
    zeros = np.zeros(size, dtype=np.int64)
    parts = [[*word_positions(prefix), np.arange(size), ignored, zeros - 1, zeros, np.arange(size), zeros]]
    for number, example in enumerate(row, start=1):
        offset = sum(len(part[0]) for part in parts)
        trunk = example.anchors < 0
        anchors = np.where(trunk, np.arange(len(example)), example.anchors)
        branches = np.where(trunk, 0, example.anchors + 1)
        segment = np.full(len(example), PADDED - number if example.alone else number, dtype=np.int64)
        positions = (0 if example.alone else size) + anchors + _depths(example.anchors)
        parts.append(
            [
                example.tokens,
                example.items,
                example.slots,
                positions,
                example.labels,
                example.interaction_ids,
                segment,
                anchors + offset,
                branches,
            ]
        )
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def _depths(anchors: np.ndarray) -> np.ndarray:
    """Return for each position how deep in its branch it stands: 0 on the trunk, then 1, 2, ..."""
    starts = np.flatnonzero(np.diff(anchors, prepend=-2))
    runs = np.diff(starts, append=len(anchors))
    return np.where(anchors < 0, 0, np.arange(len(anchors)) - np.repeat(starts, runs) + 1)
