"""Where the trie is built: sorted codes -> states, level by level in the lexicographic order of their prefixes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from recommender.constraints.trie_states import StateTable


def check_codes(codes: np.ndarray, sizes: Sequence[int]) -> None:
    """Raise ValueError for codes that are not [items, levels] within their level's range."""
    if codes.ndim != 2 or codes.shape[1] != len(sizes) or 0 in codes.shape:
        raise ValueError(f"expected codes of the shape [items, {len(sizes)}], got {list(codes.shape)}")
    for column, size in zip(codes.T, sizes, strict=True):
        if column.min() < 0 or column.max() >= size:
            raise ValueError(f"codes must lie in 0 .. size - 1 of their level; sizes are {tuple(sizes)}")


def build_states(codes: np.ndarray, sizes: Sequence[int], items: np.ndarray | None = None) -> StateTable:
    """Return the states of `codes` [items, levels], which stand for `items` or else for their row numbers.

    A state begins at each row, in sorted order, whose prefix differs from that of the row before. Raises ValueError if two
    items share all their codes.
    """
    order, sorted_levels = _sort_rows(codes, sizes)
    begins = np.zeros(len(codes), dtype=bool)
    begins[0] = True
    first_rows, state_codes = [np.flatnonzero(begins).astype(np.int32)], [np.full(1, -1)]
    code_type = np.int16 if max(sizes) <= np.iinfo(np.int16).max else np.int32
    for changes, column in sorted_levels:
        begins[1:] |= changes
        first_rows.append(np.flatnonzero(begins).astype(np.int32))
        state_codes.append(column[first_rows[-1]].astype(code_type))
    if len(first_rows[-1]) != len(codes):
        raise ValueError(f"{len(codes) - len(first_rows[-1])} items share all their codes with another item")
    leaf_items = order if items is None else np.asarray(items)[order]
    return _link_levels(first_rows, state_codes, leaf_items)


def _link_levels(
    first_rows: Sequence[np.ndarray], state_codes: Sequence[np.ndarray], leaf_items: np.ndarray
) -> StateTable:
    """Link the states of each level to their first children on the next one, and the leaves to their items.

    `first_rows`: the first sorted row below each state of a level; `state_codes`: the last code of each.
    """
    starts = tuple(np.cumsum([0, *map(len, first_rows)]).tolist())
    table = StateTable(starts, torch.from_numpy(state_codes[-1][:0]).dtype)
    for level, code in enumerate(state_codes):
        if level + 1 < len(state_codes):
            first_child = np.searchsorted(first_rows[level + 1], first_rows[level])
            counts = np.diff(first_child, append=len(first_rows[level + 1]))
            link = first_child + starts[level + 1]
        else:
            counts, link = np.zeros(len(code), np.int8), leaf_items
        table.append(*(torch.from_numpy(part) for part in (code, link, counts)))
    return table


def _sort_rows(codes: np.ndarray, sizes: Sequence[int]) -> tuple[np.ndarray, Iterator[tuple[np.ndarray, np.ndarray]]]:
    """Return the lexicographic order of the rows and, of each level in that order, where it changes and its codes.

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
    place_values = np.cumprod([1, *sizes[:0:-1]])[::-1]
    digits = (key // value % size for value, size in zip(place_values.tolist(), sizes, strict=True))
    return order, ((digit[1:] != digit[:-1], digit) for digit in digits)


def rebuild_states(table: StateTable, root: int, levels: int) -> StateTable:
    """Return what lies below `root` as if it had been built anew, without what edits left behind; on the same device."""
    states_by_level = [torch.tensor([root], device=table.code.device)]
    for _ in range(levels):
        states_by_level.append(child_states(table, states_by_level[-1]))
    starts = tuple(np.cumsum([0, *map(len, states_by_level)]).tolist())
    rebuilt = StateTable(starts, table.code.dtype, table.code.device)
    for level, states in enumerate(states_by_level):
        count, link = table.count[states], table.link[states]
        if level < levels:
            link = count.cumsum(0) - count + starts[level + 1]
        rebuilt.append(table.code[states], link, count)
    return rebuilt


def child_states(table: StateTable, states: Tensor) -> Tensor:
    """Return the children of inner `states` [n], those of one state behind those of the other."""
    count = table.count[states].long()
    before = count.cumsum(0) - count
    total = int(count.sum())
    offsets = (table.link[states] - before).repeat_interleave(count, output_size=total)
    return torch.arange(total, device=states.device) + offsets
