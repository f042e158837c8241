"""Lists with an element of chance, and the exact probability of what they show.

From a rank on, items are drawn without replacement with probabilities that rise with their scores: adding Gumbel noise to
score / temperature and sorting is Plackett-Luce sampling (Yellott 1977; Kool et al. 2019). The probability of an item at a
rank, given those above it, is then a softmax over what is left; the product over ranks is that of the whole list. A rank
may be kept for new items: with some probability a new one stands there, drawn among new ones in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from recommender.config import ExplorationConfig

PLAIN = ExplorationConfig()


@dataclass(frozen=True)
class Drawn:
    """A list. `items`: ids, best first; `probabilities`: of each, given those above it."""

    items: tuple[str, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class ListPolicy:
    """How a ranking becomes a list. `ranked`: item id -> score, best first: the pool; `new`: the same of new items, which
    may be in the pool as well."""

    ranked: dict[str, float]
    exploration: ExplorationConfig = PLAIN
    new: dict[str, float] = field(default_factory=dict)

    def chances(self, above: Sequence[str]) -> dict[str, float]:
        """Return item id -> probability that it stands next, given the items above; empty where nothing is left."""
        rank, taken = len(above) + 1, frozenset(above)
        usual = self._usual(rank, taken)
        fresh = {item: score for item, score in self.new.items() if item not in taken}
        if rank != self.exploration.new_item_slot or not fresh:
            return usual
        share = self.exploration.new_item_share if usual else 1.0
        mixed = {item: (1 - share) * chance for item, chance in usual.items()}
        for item, chance in softmax(fresh, self.exploration.temperature).items():
            mixed[item] = mixed.get(item, 0.0) + share * chance
        return mixed

    def _usual(self, rank: int, taken: frozenset[str]) -> dict[str, float]:
        """Return the probabilities at a rank that is not kept for new items."""
        start = self.exploration.from_rank
        if start is None or rank < start:
            best = next((item for item in self.ranked if item not in taken), None)
            return {} if best is None else {best: 1.0}
        left = {item: score for item, score in self.ranked.items() if item not in taken}
        return softmax(left, self.exploration.temperature)

    def draw(self, k: int, random: np.random.Generator) -> Drawn:
        """Return a list of `k` items, fewer where there are fewer."""
        items: list[str] = []
        probabilities: list[float] = []
        for _ in range(k):
            chances = self.chances(items)
            if not chances:
                break
            names, values = list(chances), np.array(list(chances.values()))
            place = min(
                int(np.searchsorted(np.cumsum(values), random.random() * values.sum(), "right")), len(names) - 1
            )
            items.append(names[place])
            probabilities.append(float(values[place]))
        return Drawn(tuple(items), tuple(probabilities))

    def probabilities(self, items: Sequence[str]) -> tuple[float, ...]:
        """Return for each item of a list the probability that this policy shows it there, given those above it."""
        return tuple(self.chances(items[:rank]).get(item, 0.0) for rank, item in enumerate(items))


def softmax(scores: dict[str, float], temperature: float) -> dict[str, float]:
    """Return item -> exp(score / temperature), scaled to a sum of 1; empty for no items."""
    if not scores:
        return {}
    values = np.array(list(scores.values()), dtype=np.float64) / temperature
    weights = np.exp(values - values.max())
    return dict(zip(scores, (weights / weights.sum()).tolist(), strict=True))
