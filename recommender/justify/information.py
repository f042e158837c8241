"""How much a claim tells: in bits, by the share of the catalogue that it is true of.

What holds for every second item tells one bit, for one of a thousand ten. Claims that are made together are weighed
together: "a war film" and "from the 1940s" tell more than each, but less than their sum where war films are of the 1940s.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

import numpy as np

from recommender.justify.facts import Fact, FactIndex

#: a claim that is true of more than this share of a catalogue is hardly worth saying; in a small one, of more items
_LARGEST_SHARE, _FEW_ITEMS = 0.2, 3


def items_with(index: FactIndex, facts: Iterable[Fact]) -> np.ndarray:
    """Return the items that have all these facts, int64 [n], ascending."""
    found: np.ndarray | None = None
    for fact in facts:
        items = index.items(fact)
        found = items if found is None else np.intersect1d(found, items, assume_unique=True)
    return np.arange(len(index.facts)) if found is None else found


def bits(index: FactIndex, facts: Collection[Fact]) -> float:
    """Return minus log2 of the share of items that have all these facts; no facts tell nothing."""
    if not facts:
        return 0.0
    return math.log2(len(index.facts) / max(len(items_with(index, facts)), 1))


def telling(index: FactIndex) -> float:
    """Return how many bits a claim must tell to be worth saying: it is true of a fifth of the catalogue or less.

    In a catalogue of a dozen items, what three of them share tells something too.
    """
    return -math.log2(max(_LARGEST_SHARE, min(_FEW_ITEMS / max(len(index.facts), 1), 1)))
