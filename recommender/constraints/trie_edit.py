"""Items that come and go: the blocks of children along an item's path are written anew, all others are shared.

That is the path copying of persistent data structures (Driscoll et al., JCSS 1989): an edit costs a block a level whatever
the number of items, and a search that runs on the trie before it is not disturbed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recommender.constraints.trie_arena import Arena, StateBlock


@dataclass(frozen=True)
class Node:
    """Where the children of a state lie: the first, and how many."""

    first: int
    count: int


def inserted(arena: Arena, node: Node, codes: np.ndarray, items: np.ndarray) -> tuple[Node, list[int]]:
    """Return the children of a state once items [n] are below it, and the most children of a state at each level.

    `codes` [n, levels from here on], in lexicographic order and unique. Raises ValueError for codes that are there.
    """
    block = arena.read(node.first, node.count)
    heads, starts = np.unique(codes[:, 0], return_index=True)
    links, counts = np.zeros(len(heads), np.int64), np.zeros(len(heads), np.int64)
    widest = [0] * codes.shape[1]
    places = np.searchsorted(block.code, heads)
    known = np.append(block.code, -1)[places] == heads
    for number, part in enumerate(np.split(np.arange(len(codes)), starts[1:])):
        if codes.shape[1] == 1:
            if known[number]:
                raise ValueError(f"item {items[part[0]]} has the codes of another item")
            links[number] = items[part[0]]
            continue
        place = places[number]
        child = Node(int(block.link[place]), int(block.count[place])) if known[number] else Node(0, 0)
        grown, deeper = inserted(arena, child, codes[part, 1:], items[part])
        links[number], counts[number] = grown.first, grown.count
        widest[1:] = map(max, widest[1:], deeper)
    block.link[places[known]], block.count[places[known]] = links[known], counts[known]
    new = ~known
    merged = StateBlock(
        np.insert(block.code, places[new], heads[new]),
        np.insert(block.link, places[new], links[new]),
        np.insert(block.count, places[new], counts[new]),
    )
    widest[0] = len(merged.code)
    return Node(arena.write(merged), len(merged.code)), widest


def deleted(arena: Arena, node: Node, codes: np.ndarray) -> Node:
    """Return the children of a state without the items of these codes [n, levels from here on], which are all there.

    `codes` in lexicographic order. A state without children goes too, so that none may be left.
    """
    block = arena.read(node.first, node.count)
    heads, starts = np.unique(codes[:, 0], return_index=True)
    places = np.searchsorted(block.code, heads)
    gone = np.ones(len(heads), bool)
    if codes.shape[1] > 1:
        for number, part in enumerate(np.split(np.arange(len(codes)), starts[1:])):
            place = places[number]
            left = deleted(arena, Node(int(block.link[place]), int(block.count[place])), codes[part, 1:])
            block.link[place], block.count[place] = left.first, left.count
            gone[number] = left.count == 0
    rest = StateBlock(*(np.delete(part, places[gone]) for part in (block.code, block.link, block.count)))
    return Node(arena.write(rest), len(rest.code)) if len(rest.code) else Node(0, 0)
