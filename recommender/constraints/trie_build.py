"""Building the states of a trie: level by level in the lexicographic order of their prefixes, from sorted codes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from recommender.constraints.trie_arena import Arena


def check(codes: np.ndarray, sizes: Sequence[int]) -> None:
    """Raise ValueError for codes that are not [items, levels] within their level's range."""
    if codes.ndim != 2 or codes.shape[1] != len(sizes) or 0 in codes.shape:
        raise ValueError(f"expected codes of the shape [items, {len(sizes)}], got {list(codes.shape)}")
    for column, size in zip(codes.T, sizes, strict=True):
        if column.min() < 0 or column.max() >= size:
            raise ValueError(f"codes must lie in 0 .. size - 1 of their level; sizes are {tuple(sizes)}")


def build(codes: np.ndarray, sizes: Sequence[int], items: np.ndarray | None = None) -> Arena:
    """Return the states of `codes` [items, levels], which stand for `items` or their own numbers.

    Raises ValueError if two items share all their codes.
    """
    order, prefixes = _sorted(codes, sizes)
    fresh = np.zeros(len(codes), dtype=bool)
    fresh[0] = True
    rows, levels = [np.flatnonzero(fresh).astype(np.int32)], [np.full(1, -1)]
    code_type = np.int16 if max(sizes) <= np.iinfo(np.int16).max else np.int32
    for differs, column in prefixes:
        fresh[1:] |= differs
        rows.append(np.flatnonzero(fresh).astype(np.int32))
        levels.append(column[rows[-1]].astype(code_type))
    if len(rows[-1]) != len(codes):
        raise ValueError(f"{len(codes) - len(rows[-1])} items share all their codes with another item")
    starts = tuple(np.cumsum([0, *map(len, rows)]).tolist())
    arena = Arena(starts, torch.from_numpy(levels[-1][:0]).dtype)
    for level, code in enumerate(levels):
        if level < len(sizes):
            first = np.searchsorted(rows[level + 1], rows[level])
            counts = np.diff(first, append=len(rows[level + 1]))
            link = first + starts[level + 1]
        else:
            counts, link = np.zeros(len(code), np.int8), order if items is None else np.asarray(items)[order]
        arena.append(*(torch.from_numpy(part) for part in (code, link, counts)))
    return arena


def _sorted(codes: np.ndarray, sizes: Sequence[int]) -> tuple[np.ndarray, Iterator[tuple[np.ndarray, np.ndarray]]]:
    """Return the lexicographic order of the rows, and of each level in that order where it changes, and its codes.

    As one number each, rows are sorted several times faster than column by column.
    """
    if math.prod(sizes) >= 2**63:
        order = np.lexsort(codes.T[::-1])
        columns = (column[order] for column in codes.T)
        return order, ((column[1:] != column[:-1], column) for column in columns)
    key = np.zeros(len(codes), dtype=np.int64)
    for column, size in zip(codes.T, sizes, strict=True):
        key *= size
        key += column
    order = np.argsort(key).astype(np.int32)
    key = key[order]
    below = np.cumprod([1, *sizes[:0:-1]])[::-1]
    digits = (key // width % size for width, size in zip(below.tolist(), sizes, strict=True))
    return order, ((digit[1:] != digit[:-1], digit) for digit in digits)


def compacted(arena: Arena, root: int, levels: int) -> Arena:
    """Return what lies below `root` as if it had been built anew; on the arena's device."""
    states = torch.tensor([root], device=arena.code.device)
    kept = [states]
    for _ in range(levels):
        states = below(arena, states)
        kept.append(states)
    starts = tuple(np.cumsum([0, *map(len, kept)]).tolist())
    fresh = Arena(starts, arena.code.dtype, arena.code.device)
    for level, states in enumerate(kept):
        count, link = arena.count[states], arena.link[states]
        if level < levels:
            link = count.cumsum(0) - count + starts[level + 1]
        fresh.append(arena.code[states], link, count)
    return fresh


def below(arena: Arena, states: torch.Tensor) -> torch.Tensor:
    """Return the children of inner `states` [n], one state's behind the other's."""
    count = arena.count[states].long()
    before = count.cumsum(0) - count
    total = int(count.sum())
    return torch.arange(total, device=states.device) + (arena.link[states] - before).repeat_interleave(
        count, output_size=total
    )
