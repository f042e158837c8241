"""Evidence: the history items whose removal lowers a recommended item's score most, and the facts they share with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

import numpy as np

from recommender.data.catalogue import Catalogue
from recommender.justify.companions import Companions
from recommender.justify.english import NEUTRAL
from recommender.justify.facts import facts_of
from recommender.justify.item_names import words
from recommender.numerics.shapley import sampled_shapley

#: (histories, candidate items) -> log-probabilities [histories, candidates]
Scorer = Callable[[Sequence[np.ndarray], Sequence[int]], np.ndarray]
#: called between two items; raises if nobody waits for the evidence any more
Between = Callable[[], None]
#: nats; a smaller effect is rounding
SMALLEST = 1e-3
#: words of a shared passage, how many of them must have content, and how many words of a text are compared
SHORTEST_PASSAGE, CONTENT_WORDS, LONGEST_TEXT = 3, 2, 400


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
    """For one recommended item: influences, strongest first, facts shared with them, and passages shared with their texts.

    The `value` of a passage is spelled as in the item's own text. `companions`: influences that many people had together
    with the item, and how many people. All are empty for a cold start. `shapley`: the effects are
    Shapley values, not what removing one item costs.
    """

    item: int
    influences: tuple[Influence, ...] = ()
    shared: tuple[SharedFact, ...] = ()
    passages: tuple[SharedFact, ...] = ()
    companions: tuple[tuple[int, int], ...] = ()
    shapley: bool = False


def find_evidence(
    catalogue: Catalogue,
    history: np.ndarray,
    recommended: Sequence[int],
    score: Scorer,
    window: int,
    most: int,
    orders: int = 0,
    between: Between = lambda: None,
    *,
    companions: Companions | None = None,
    disliked: Collection[int] = (),
) -> list[Evidence]:
    """Measure what each item of the last `window` positions of the history adds to the scores, all in one batch.

    By default each is removed in turn. That credits neither of two similar items with what they add together, so with
    `orders` > 0 effects are Shapley values, sampled over so many orders (`shapley_values`); they add up to the score
    minus the score without any of them. An item that occurs several times is removed everywhere. Only positive effects
    count, at most `most` of them for each recommended item. `companions`: what others had together. `disliked`: items that
    are never a reason for this reader, so they stay in the history. Raises what `between` raises.
    """
    recommended = [int(item) for item in recommended]
    history = np.asarray(history, dtype=np.int64)
    possible = history[~np.isin(history, list(disliked))]
    tested = list(dict.fromkeys(possible[::-1][:window].tolist()))
    if not recommended or not tested:
        return [Evidence(item) for item in recommended]
    if orders:
        effects = shapley_values(history, tested, recommended, score, orders)
    else:
        effects = deletion_effects(history, tested, recommended, score)
    found = []
    for column, item in enumerate(recommended):
        between()
        evidence = replace(_evidence(catalogue, item, tested, effects[:, column], most), shapley=bool(orders))
        found.append(with_companions(evidence, companions))
    return found


def with_companions(evidence: Evidence, companions: Companions | None) -> Evidence:
    """Return evidence with those of its influences that many had together with the item."""
    if companions is None:
        return evidence
    influences = [influence.item for influence in evidence.influences]
    return replace(evidence, companions=companions.among(evidence.item, influences))


def deletion_effects(
    history: np.ndarray, tested: Sequence[int], recommended: Sequence[int], score: Scorer
) -> np.ndarray:
    """Return by how many nats [tested, recommended] the scores fall when one of the tested items is removed."""
    scores = score([history, *(history[history != item] for item in tested)], recommended)
    return np.asarray(scores[0][None] - scores[1:], dtype=np.float64)


def shapley_values(
    history: np.ndarray, tested: Sequence[int], recommended: Sequence[int], score: Scorer, orders: int, seed: int = 0
) -> np.ndarray:
    """Return sampled Shapley values [tested, recommended] in nats: what an item adds, averaged over orders of adding.

    Untested items of the history are always there. Sets of items that recur are scored once. See `sampled_shapley`.
    """

    def worth(sets: np.ndarray) -> np.ndarray:
        absent = [np.array(tested)[~members] for members in sets]
        return score([history[~np.isin(history, items)] for items in absent], recommended)

    return np.asarray(sampled_shapley(len(tested), worth, orders, seed).mean(0))


def _evidence(catalogue: Catalogue, item: int, tested: list[int], effects: np.ndarray, most: int) -> Evidence:
    order = np.argsort(-effects, kind="stable")
    influences = tuple(
        Influence(tested[i], float(effects[i]))
        for i in order
        if np.isfinite(effects[i]) and effects[i] >= SMALLEST and tested[i] != item
    )[:most]
    others = [influence.item for influence in influences]
    return Evidence(item, influences, shared_facts(catalogue, item, others), shared_passages(catalogue, item, others))


def shared_facts(catalogue: Catalogue, item: int, others: Sequence[int]) -> tuple[SharedFact, ...]:
    """Return the attribute values, and the decade, that `item` shares with some of `others`; the most shared come first.

    A decade is left out where the same items share the year itself.
    """
    facts_of_others = {other: facts_of(catalogue, other) for other in others}
    shared = [
        SharedFact(name, value, tuple(o for o in others if value in facts_of_others[o].get(name, ())))
        for name, values in facts_of(catalogue, item).items()
        for value in values
    ]
    implied = {(f"{fact.value[:3]}0s", fact.items) for fact in shared if fact.name != "decade"}
    informative = [f for f in shared if f.items and not (f.name == "decade" and (f.value, f.items) in implied)]
    return tuple(sorted(informative, key=lambda fact: -len(fact.items)))


def shared_passages(catalogue: Catalogue, item: int, others: Sequence[int]) -> tuple[SharedFact, ...]:
    """Return for each of `others` the longest run of words that its text shares with that of `item`.

    Runs of fewer than `SHORTEST_PASSAGE` words, or with fewer than `CONTENT_WORDS` content words, are left out.
    """
    text = catalogue[item].text
    item_words = words(text)[:LONGEST_TEXT]
    sharers: dict[str, list[int]] = {}
    for other in others:
        other_words = words(catalogue[other].text)[:LONGEST_TEXT]
        matcher = SequenceMatcher(None, [w.form for w in item_words], [w.form for w in other_words], autojunk=False)
        run = matcher.find_longest_match()
        content = [w for w in item_words[run.a : run.a + run.size] if w.form not in NEUTRAL]
        if run.size >= SHORTEST_PASSAGE and len(content) >= CONTENT_WORDS:
            passage = text[item_words[run.a].start : item_words[run.a + run.size - 1].end]
            sharers.setdefault(passage, []).append(other)
    return tuple(SharedFact("text", passage, tuple(items)) for passage, items in sharers.items())
