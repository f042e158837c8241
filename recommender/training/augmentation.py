"""Augmentation of histories: masking, reordering and cropping, as in CL4SRec.

Xie et al., "Contrastive Learning for Sequential Recommendation", ICDE 2022. There two augmented views of a history are
contrasted; here each is learned from like any other history, so its labels have to stay true.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from recommender.config import CONTENT_MODALITIES, StageConfig
from recommender.encoders.features import Features
from recommender.encoders.imputation import nearest
from recommender.model.augmenting import Augmenting
from recommender.prompting.example import ITEM, MASKED, Example

LONGEST_PART = 4
"""At most one in so many of a history's inputs is shuffled."""
#: with one of so many nearest items a read item is mixed
MIXED_WITH = 5


def reordered(
    items: np.ndarray, interaction_ids: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Shuffle a random contiguous part of a history: between two items and a quarter of all inputs.

    `items`, `interaction_ids` [n] as `ExampleBuilder.ranking` takes them; returns copies. Inputs and labels follow the new
    order. The teacher has no answers for the new order, so the interaction ids of the whole part become -1. The last item
    is no input and stays; with fewer than eight inputs nothing moves.
    """
    items, interaction_ids, inputs = items.copy(), interaction_ids.copy(), len(items) - 1
    if inputs // LONGEST_PART >= 2:
        length = int(random.integers(2, inputs // LONGEST_PART + 1))
        start = int(random.integers(inputs - length + 1))
        part = slice(start, start + length)
        items[part], interaction_ids[part] = random.permutation(items[part]), -1
    return items, interaction_ids


def masked(example: Example, share: float, random: np.random.Generator) -> Example:
    """Return the example with about a `share` of its history's positions masked; its labels stay."""
    hidden = (example.slots == ITEM) & (random.random(len(example)) < share)
    items, slots = np.where(hidden, -1, example.items), np.where(hidden, MASKED, example.slots)
    return replace(example, items=items, slots=slots)


def augmenting_of(
    stage: StageConfig, features: Features, histories: Sequence[np.ndarray], device: torch.device
) -> Augmenting | None:
    """Return how the stage `rank` changes the items that it reads; None for other stages, and where it changes none.

    `histories`: those that are learned from, whose interactions are counted.
    """
    half, items = stage.dropout_by_activity, len(next(iter(features.vectors.values()), ()))
    if stage.stage != "rank" or not (stage.neighbour_mix or half):
        return None
    neighbours = trust = None
    use = [m for m in features.vectors if m in CONTENT_MODALITIES]
    if stage.neighbour_mix and use:
        everything = np.arange(items)
        neighbours = torch.from_numpy(nearest(features, everything, everything, use, MIXED_WITH).items).to(device)
    if half:
        counts = np.zeros(items)
        for history in histories:
            np.add.at(counts, history, 1)
        trust = torch.from_numpy((counts / (counts + half)).astype(np.float32)).to(device)
    return Augmenting(stage.neighbour_mix, neighbours, trust, half)


def crops(history: np.ndarray, size: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Cut a history into consecutive pieces of `size` items, at least 2, with a random first boundary.

    Neighbouring pieces share one item, so that every item but the first of the history is predicted from earlier ones.
    """
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
