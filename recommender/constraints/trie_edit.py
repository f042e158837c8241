"""Where items are inserted into a trie and deleted from it, by path copying.

The children along an item's path are written anew, all others are shared (persistent data structures: Driscoll et al., JCSS
1989). So an edit costs a few states a level whatever the number of items, and a search that runs on the trie as it was
before is not disturbed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recommender.constraints.trie_states import Siblings, StateTable


@dataclass(frozen=True)
class Children:
    """Where the children of a state lie: the first, and how many."""

    first: int
    count: int


def insert_items(
    table: StateTable, children: Children, codes: np.ndarray, items: np.ndarray
) -> tuple[Children, list[int]]:
    """Return the children of a state once items [n] are below it, and the most children of a rewritten state by level.

    `codes` [n, levels from here on], in lexicographic order and unique. Raises ValueError for codes that are there.
    """
    siblings = table.siblings(children.first, children.count)
    heads, starts = np.unique(codes[:, 0], return_index=True)
    links, counts = np.zeros(len(heads), np.int64), np.zeros(len(heads), np.int64)
    fan_outs = [0] * codes.shape[1]
    places = np.searchsorted(siblings.code, heads)
    known = np.append(siblings.code, -1)[places] == heads
    for number, rows in enumerate(np.split(np.arange(len(codes)), starts[1:])):
        if codes.shape[1] == 1:
            if known[number]:
                raise ValueError(f"item {items[rows[0]]} has the codes of another item")
            links[number] = items[rows[0]]
            continue
        place = places[number]
        below = Children(int(siblings.link[place]), int(siblings.count[place])) if known[number] else Children(0, 0)
        grown, deeper = insert_items(table, below, codes[rows, 1:], items[rows])
        links[number], counts[number] = grown.first, grown.count
        fan_outs[1:] = map(max, fan_outs[1:], deeper)
    merged = _merge(siblings, places, known, Siblings(heads, links, counts))
    fan_outs[0] = len(merged.code)
    return Children(table.append_siblings(merged), len(merged.code)), fan_outs


def _merge(siblings: Siblings, places: np.ndarray, known: np.ndarray, changed: Siblings) -> Siblings:
    """Return siblings in which those that are `known` link to their new children and the others are inserted."""
    siblings.link[places[known]], siblings.count[places[known]] = changed.link[known], changed.count[known]
    new = ~known
    return Siblings(
        np.insert(siblings.code, places[new], changed.code[new]),
        np.insert(siblings.link, places[new], changed.link[new]),
        np.insert(siblings.count, places[new], changed.count[new]),
    )


def delete_items(table: StateTable, children: Children, codes: np.ndarray) -> Children:
    """Return the children of a state without the items of these codes [n, levels from here on], which are all there.

    `codes` in lexicographic order. A state without children goes too, so that none may be left.
    """
    siblings = table.siblings(children.first, children.count)
    heads, starts = np.unique(codes[:, 0], return_index=True)
    places = np.searchsorted(siblings.code, heads)
    emptied = np.ones(len(heads), bool)
    if codes.shape[1] > 1:
        for number, rows in enumerate(np.split(np.arange(len(codes)), starts[1:])):
            place = places[number]
            below = Children(int(siblings.link[place]), int(siblings.count[place]))
            left = delete_items(table, below, codes[rows, 1:])
            siblings.link[place], siblings.count[place] = left.first, left.count
            emptied[number] = left.count == 0
    columns = (siblings.code, siblings.link, siblings.count)
    rest = Siblings(*(np.delete(column, places[emptied]) for column in columns))
    return Children(table.append_siblings(rest), len(rest.code)) if len(rest.code) else Children(0, 0)
