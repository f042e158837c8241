"""Ways of making a list: a further adapter, factors on fusion weights, and an element of chance; arms change them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.config import ArmConfig, ExplorationConfig
from recommender.engine import Engine, RankedItem
from recommender.engine.filters import matching
from recommender.experiments.policies import PLAIN

Factors = tuple[tuple[str, float], ...]
#: experiment -> the arm that a list is made by
Arms = Mapping[str, ArmConfig]


@dataclass(frozen=True)
class Way:
    """A way of ranking: a further adapter, factors on fusion weights; and how its ranking becomes a list."""

    model: str | None = None
    factors: Factors = ()
    exploration: ExplorationConfig = PLAIN

    def with_arm(self, arm: ArmConfig | None) -> Way:
        """Return what an arm makes of it."""
        if arm is None:
            return self
        return Way(
            arm.model or self.model,
            self.factors if arm.fusion is None else tuple(sorted(arm.fusion.items())),
            arm.exploration or self.exploration,
        )

    def with_arms(self, arms: Arms) -> Way:
        """Return what several arms make of it."""
        way = self
        for arm in arms.values():
            way = way.with_arm(arm)
        return way

    def width(self, k: int) -> int:
        """Return how many items a ranking has from which a list of `k` is made."""
        return max(k, self.exploration.pool) if self.exploration.explores else k

    def ranks_as(self, other: Way) -> bool:
        """Return whether another way has the same scores."""
        return (self.model, self.factors) == (other.model, other.factors)


def new_items(engine: Engine, exploration: ExplorationConfig) -> list[str]:
    """Return the ids of the items that are new. Raises RecommenderError for an attribute that no item has."""
    catalogue = engine.catalogue
    return [catalogue[int(item)].item_id for item in np.flatnonzero(matching(catalogue, exploration.new_items))]


def new_among(
    engine: Engine, exploration: ExplorationConfig, k: int, allowed: Collection[str] | None = None
) -> list[str]:
    """Return the ids of the new items that a list of `k` has a rank for; none where it has none. `allowed`: None for all."""
    if exploration.new_item_slot is None or exploration.new_item_slot > k:
        return []
    new = new_items(engine, exploration)
    return new if allowed is None else [item for item in new if item in allowed]


def chance_notes(exploration: ExplorationConfig, k: int) -> list[str]:
    """Return what chance did to a list of `k`, in words."""
    notes = []
    if exploration.from_rank is not None and exploration.from_rank <= k:
        notes.append(f"drawn by chance from rank {exploration.from_rank} on")
    if exploration.new_item_slot is not None and exploration.new_item_slot <= k:
        notes.append(f"rank {exploration.new_item_slot} is given to new items now and then")
    return notes


def scores_of(items: Sequence[RankedItem]) -> dict[str, float]:
    """Return item id -> score, best first."""
    return {item.item_id: item.score for item in items}


def same_beam(engine: Engine, first: int, second: int) -> bool:
    """Return whether rankings of two lengths begin alike: with several levels of codes a wider beam finds others."""
    beam = engine.config.decoding.beam
    return engine.builder.code_tokens.shape[1] == 1 or max(first, beam) == max(second, beam)
