"""What a recommendation rests on: the history items whose removal costs it most, and the facts they share with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.catalogue import Catalogue

#: (histories, candidate items) -> log-probabilities [histories, candidates]
Scorer = Callable[[Sequence[np.ndarray], Sequence[int]], np.ndarray]


@dataclass(frozen=True)
class Influence:
    """A history item and by how many nats the recommended item's score falls without it."""

    item: int
    effect: float


@dataclass(frozen=True)
class SharedFact:
    """An attribute value that the recommended item shares with these history items."""

    name: str
    value: str
    items: tuple[int, ...]


@dataclass(frozen=True)
class Evidence:
    """For one recommended item: influences, strongest first, and shared facts. Both are empty for a cold start."""

    item: int
    influences: tuple[Influence, ...] = ()
    shared: tuple[SharedFact, ...] = ()


def find_evidence(
    catalogue: Catalogue, history: np.ndarray, recommended: Sequence[int], score: Scorer, window: int, most: int
) -> list[Evidence]:
    """Remove each of the last `window` history items in turn and score again (leave-one-out, one batch).

    An item that lowered the score is no reason, so only positive effects count, at most `most` of them.
    """
    recommended = list(recommended)
    tested = range(max(len(history) - window, 0), len(history))
    if not recommended or not tested:
        return [Evidence(item) for item in recommended]
    variants = [np.delete(history, position) for position in tested]
    scores = score([history, *variants], recommended)
    effects = scores[0][None] - scores[1:]
    found = []
    for column, item in enumerate(recommended):
        order = np.argsort(-effects[:, column], kind="stable")
        chosen = {int(history[tested[i]]): float(effects[i, column]) for i in order if effects[i, column] > 0}
        influences = tuple(Influence(i, effect) for i, effect in list(chosen.items())[:most])
        found.append(Evidence(item, influences, shared_facts(catalogue, item, [i.item for i in influences])))
    return found


def shared_facts(catalogue: Catalogue, item: int, others: Sequence[int]) -> tuple[SharedFact, ...]:
    """Return the attribute values, and the decade, that `item` shares with some of `others`; most shared first."""
    facts = facts_with_decade(catalogue, item)
    theirs = {other: facts_with_decade(catalogue, other) for other in others}
    shared = [
        SharedFact(name, value, tuple(o for o in others if value in theirs[o].get(name, ())))
        for name, values in facts.items()
        for value in values
    ]
    return tuple(sorted((fact for fact in shared if fact.items), key=lambda fact: -len(fact.items)))


def facts_with_decade(catalogue: Catalogue, item: int) -> dict[str, tuple[str, ...]]:
    """Return an item's claimable attributes, its year also as a decade."""
    facts = dict(catalogue.facts(item))
    years = [value for value in facts.get("year", ()) if value.isdigit() and len(value) == 4]
    return facts | ({"decade": tuple(f"{year[:3]}0s" for year in years)} if years else {})
