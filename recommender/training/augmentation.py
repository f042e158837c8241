"""Histories read a little otherwise: masking and reordering, two augmentations of CL4SRec; the third is `crops`.

Xie et al., "Contrastive Learning for Sequential Recommendation", ICDE 2022. There two such views of one history are
drawn towards each other; here each is learned from like any other history, so what it expects has to stay true.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from recommender.prompting.example import ITEM, MASKED, Example

LONGEST = 4
"""One part in so many of a history's inputs is shuffled at most."""


def reordered(
    items: np.ndarray, interaction_ids: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Shuffle a random contiguous part, two items to a quarter of all inputs, of a history that is no example yet.

    `items`, `interaction_ids` [n] as `ExampleBuilder.ranking` takes them; returns copies. Inputs and labels follow the new
    order. No teacher was asked about a place whose item has moved: the whole part has -1 there. The last item is no
    input and stays, and with fewer than eight inputs nothing moves.
    """
    items, interaction_ids, inputs = items.copy(), interaction_ids.copy(), len(items) - 1
    if inputs // LONGEST >= 2:
        length = int(random.integers(2, inputs // LONGEST + 1))
        start = int(random.integers(inputs - length + 1))
        part = slice(start, start + length)
        items[part], interaction_ids[part] = random.permutation(items[part]), -1
    return items, interaction_ids


def masked(example: Example, share: float, random: np.random.Generator) -> Example:
    """Return the example with about a `share` of its history's positions unreadable; what is to be learned stays."""
    hidden = (example.slots == ITEM) & (random.random(len(example)) < share)
    items, slots = np.where(hidden, -1, example.items), np.where(hidden, MASKED, example.slots)
    return replace(example, items=items, slots=slots)


def crops(history: np.ndarray, size: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Cut a history into consecutive pieces of `size` items with a random first boundary (they share one item, so
    that every item but the first of the history is predicted from what came before it). `size` counts as 2 at least."""
    size = max(size, 2)
    first = int(generator.integers(max(size // 2, 2), size + 1)) if len(history) > size else size
    start, stop = 0, first
    while True:
        piece = history[start:stop]
        if len(piece) > (1 if start else 0):
            yield piece
        if stop >= len(history):
            return
        start, stop = stop - 1, stop - 1 + size
