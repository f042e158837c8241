"""Where the sequences of packed rows begin, as kernels for sequences of different lengths take it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recommender.prompting.example import Example


@dataclass(frozen=True)
class Sequences:
    """The sequences of a batch, whose rows lie one behind the other.

    `queries`, `keys` [sequences + 1]: where each begins, int32; `key_places` [keys]: which positions are keys. `longest`: of
    queries and of keys.
    """

    queries: Tensor
    keys: Tensor
    key_places: Tensor
    longest: tuple[int, int]

    @classmethod
    def of(cls, lengths: Sequence[Sequence[int]], alone: Sequence[Sequence[bool]], prefix: int, row: int) -> Sequences:
        """Return the sequences of rows of `row` positions: `prefix` positions that are shared, examples, padding.

        `lengths`: of the examples of each row; `alone`: whether each does without the shared positions.
        """
        query_lengths: list[int] = []
        places: list[np.ndarray] = []
        for number, (row_lengths, row_alone) in enumerate(zip(lengths, alone, strict=True)):
            start = number * row
            shared = np.arange(start, start + prefix)
            padding = row - prefix - sum(row_lengths)
            at = start + prefix
            if prefix:
                query_lengths.append(prefix)
                places.append(shared)
            for length, own in zip([*row_lengths, padding], [*row_alone, True], strict=True):
                if length:
                    query_lengths.append(length)
                    places.append(np.concatenate([shared[: 0 if own else prefix], np.arange(at, at + length)]))
                at += length
        key_lengths = [len(part) for part in places]
        return cls(
            _starts(query_lengths),
            _starts(key_lengths),
            torch.from_numpy(np.concatenate(places)),
            (max(query_lengths), max(key_lengths)),
        )

    def each(self, change: Callable[[Tensor], Tensor]) -> Sequences:
        """Return them with each of their tensors changed: moved, pinned."""
        return Sequences(change(self.queries), change(self.keys), change(self.key_places), self.longest)


def _starts(lengths: Sequence[int]) -> Tensor:
    return torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))


def sequences_of(rows: Sequence[Sequence[Example]], prefix: int, row: int) -> Sequences | None:
    """Return the sequences of packed rows of `row` positions; None if an example has branches, which are no sequence.

    `prefix`: positions of the instruction that the examples of a row share.
    """
    if any((example.anchors >= 0).any() for examples in rows for example in examples):
        return None
    lengths = [[len(example) for example in examples] for examples in rows]
    return Sequences.of(lengths, [[example.alone for example in examples] for examples in rows], prefix, row)
