"""What a recommendation rests on: the history items whose removal costs it most, and the facts they share with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.catalogue import Catalogue
from recommender.justify.facts import facts_of

#: (histories, candidate items) -> log-probabilities [histories, candidates]
Scorer = Callable[[Sequence[np.ndarray], Sequence[int]], np.ndarray]
#: nats; what moves a score by less is rounding, not a reason
SMALLEST = 1e-3


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
    catalogue: Catalogue,
    history: np.ndarray,
    recommended: Sequence[int],
    score: Scorer,
    window: int,
    most: int,
) -> list[Evidence]:
    """Remove each item of the last `window` positions of the history in turn and score again, all in one batch.

    An item that stands in the history several times is removed everywhere. One that lowered the score is no reason:
    only positive effects count, at most `most` of them for each recommended item.
    """
    recommended = [int(item) for item in recommended]
    history = np.asarray(history, dtype=np.int64)
    tested = list(dict.fromkeys(history[::-1][:window].tolist()))
    if not recommended or not tested:
        return [Evidence(item) for item in recommended]
    scores = score([history, *(history[history != item] for item in tested)], recommended)
    effects = np.asarray(scores[0][None] - scores[1:], dtype=np.float64)
    return [_evidence(catalogue, item, tested, effects[:, column], most) for column, item in enumerate(recommended)]


def _evidence(catalogue: Catalogue, item: int, tested: list[int], effects: np.ndarray, most: int) -> Evidence:
    order = np.argsort(-effects, kind="stable")
    influences = tuple(
        Influence(tested[i], float(effects[i]))
        for i in order
        if np.isfinite(effects[i]) and effects[i] >= SMALLEST and tested[i] != item
    )[:most]
    return Evidence(item, influences, shared_facts(catalogue, item, [influence.item for influence in influences]))


def shared_facts(catalogue: Catalogue, item: int, others: Sequence[int]) -> tuple[SharedFact, ...]:
    """Return the attribute values, and the decade, that `item` shares with some of `others`; most shared first.

    A decade is left out where the year itself is shared by the same items.
    """
    theirs = {other: facts_of(catalogue, other) for other in others}
    shared = [
        SharedFact(name, value, tuple(o for o in others if value in theirs[o].get(name, ())))
        for name, values in facts_of(catalogue, item).items()
        for value in values
    ]
    exact = {(f"{fact.value[:3]}0s", fact.items) for fact in shared if fact.name != "decade"}
    kept = [f for f in shared if f.items and not (f.name == "decade" and (f.value, f.items) in exact)]
    return tuple(sorted(kept, key=lambda fact: -len(fact.items)))
