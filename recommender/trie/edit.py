"""Items that come and go: the arrays of a trie are copied with a state more or less at each level, at memory's speed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from recommender.trie.arrays import Trie


def inserted(trie: Trie, item: int, codes: np.ndarray) -> Trie:
    """Return a trie on the CPU with one more item of the codes [levels]. Raises ValueError if item or codes are there."""
    if bool((trie.order == item).any()):
        raise ValueError(f"item {item} is in the trie already; take it out first")
    path, place = _walk(trie, codes)
    if len(path) > trie.levels:
        raise ValueError(f"item {item} has the codes of another item: {codes.tolist()}")
    fresh = _places(trie, len(path), place)
    depth = len(path) - 1
    offsets, start = trie.child_offsets.numpy().copy(), trie.item_start.numpy().copy()
    offsets[path[-1] + 1 :] += 1
    for state in fresh[:-1]:
        offsets[state:] += 1
    leaf = fresh[-1] - trie.starts[trie.levels]
    for level, state in enumerate([*(p + 1 for p in path), *fresh[:-1]]):
        start[state : trie.starts[level + 1]] += 1
    start[-1] += 1
    born = np.arange(1, len(fresh))
    widest = list(trie.fan_outs)
    for level in range(depth, trie.levels):
        grown = int(offsets[path[-1] + 1] - offsets[path[-1]]) if level == depth else 1
        widest[level] = max(widest[level], grown)
    return replace(
        trie,
        fan_outs=tuple(widest),
        starts=_moved(trie, depth, 1),
        code=torch.from_numpy(np.insert(trie.code.numpy(), fresh, codes[depth:])),
        child_offsets=torch.from_numpy(np.insert(offsets, fresh[:-1], np.asarray(fresh[1:]) + born)),
        item_start=torch.from_numpy(np.insert(start, fresh[:-1], leaf)),
        order=torch.from_numpy(np.insert(trie.order.numpy(), leaf, item)),
    )


def deleted(trie: Trie, item: int) -> Trie:
    """Return a trie on the CPU without one of its items. Raises ValueError if it is not there, or the only one."""
    found = (trie.order == item).nonzero()
    if not len(found):
        raise ValueError(f"item {item} is not in the trie")
    if trie.items == 1:
        raise ValueError(f"item {item} is the only one; a trie needs at least one")
    leaf = int(found[0, 0])
    path = _path(trie, leaf + trie.starts[trie.levels])
    offsets, start = trie.child_offsets.numpy().copy(), trie.item_start.numpy().copy()
    single = [s for s in path if s < trie.starts[trie.levels] and offsets[s + 1] - offsets[s] == 1]
    depth = trie.levels - 1  # of the deepest state that stays
    while path[depth] in single:
        depth -= 1
    gone = path[depth + 1 :]
    for state in path[depth : trie.levels]:
        offsets[state + 1 :] -= 1
    for level, state in enumerate(path[: trie.levels]):
        start[state + 1 : trie.starts[level + 1]] -= 1
    start[-1] -= 1
    offsets, start = np.delete(offsets, gone[:-1]), np.delete(start, gone[:-1])
    starts = _moved(trie, depth, -1)
    return replace(
        trie,
        fan_outs=tuple(_widest(offsets, starts, level) for level in range(trie.levels)),
        starts=starts,
        code=torch.from_numpy(np.delete(trie.code.numpy(), gone)),
        child_offsets=torch.from_numpy(offsets),
        item_start=torch.from_numpy(start),
        order=torch.from_numpy(np.delete(trie.order.numpy(), leaf)),
    )


def _walk(trie: Trie, codes: np.ndarray) -> tuple[list[int], int]:
    """Return the states of the longest known prefix, the root first, and the state before which the next would stand."""
    path, code, offsets = [trie.root], trie.code.numpy(), trie.child_offsets.numpy()
    for wanted in codes:
        first, end = int(offsets[path[-1]]), int(offsets[path[-1] + 1])
        place = first + int(np.searchsorted(code[first:end], wanted))
        if place == end or code[place] != wanted:
            return path, place
        path.append(place)
    return path, path[-1]


def _places(trie: Trie, depth: int, place: int) -> list[int]:
    """Return the states before which new ones stand, from level `depth` down to the leaves."""
    places = [place]
    for _ in range(depth, trie.levels):
        places.append(int(trie.child_offsets[places[-1]]))
    return places


def _path(trie: Trie, leaf: int) -> list[int]:
    """Return the states from the root down to a leaf."""
    path = [leaf]
    for _ in range(trie.levels):
        path.append(int(trie.parent(torch.tensor(path[-1]))))
    return path[::-1]


def _moved(trie: Trie, depth: int, by: int) -> tuple[int, ...]:
    """Return the first states of the levels when each level below `depth` has grown by `by`."""
    return tuple(start + by * max(level - depth - 1, 0) for level, start in enumerate(trie.starts))


def _widest(offsets: np.ndarray, starts: tuple[int, ...], level: int) -> int:
    return int(np.diff(offsets[starts[level] : starts[level + 1] + 1]).max())
