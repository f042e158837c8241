"""What a recommendation rests on: the history items whose removal costs it most, and the facts they share with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np

from recommender.data.catalogue import Catalogue
from recommender.justify.english import NEUTRAL
from recommender.justify.facts import facts_of
from recommender.justify.item_names import words

#: (histories, candidate items) -> log-probabilities [histories, candidates]
Scorer = Callable[[Sequence[np.ndarray], Sequence[int]], np.ndarray]
#: nats; what moves a score by less is rounding, not a reason
SMALLEST = 1e-3
#: words of a passage that two texts share, how many of them must say something, and how much of a text is compared
SHORTEST_PASSAGE, TELLING_WORDS, LONGEST_TEXT = 3, 2, 400


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
    """For one recommended item: influences, strongest first, shared facts, and words that its text shares with theirs
    (`value`: as they stand in its text). All are empty for a cold start."""

    item: int
    influences: tuple[Influence, ...] = ()
    shared: tuple[SharedFact, ...] = ()
    passages: tuple[SharedFact, ...] = ()


def find_evidence(
    catalogue: Catalogue,
    history: np.ndarray,
    recommended: Sequence[int],
    score: Scorer,
    window: int,
    most: int,
    orders: int = 0,
) -> list[Evidence]:
    """Measure what each item of the last `window` positions of the history adds to the scores, all in one batch.

    By default each is removed in turn. That credits nobody with what two alike items add together, so with `orders` > 0
    effects are Shapley values, sampled over so many orders (`shapley_values`); they add up to the score less the score
    without any of them. An item that stands in the history several times is removed everywhere. One that lowered the
    score is no reason: only positive effects count, at most `most` of them for each recommended item.
    """
    recommended = [int(item) for item in recommended]
    history = np.asarray(history, dtype=np.int64)
    tested = list(dict.fromkeys(history[::-1][:window].tolist()))
    if not recommended or not tested:
        return [Evidence(item) for item in recommended]
    if orders:
        effects = shapley_values(history, tested, recommended, score, orders)
    else:
        effects = deletion_effects(history, tested, recommended, score)
    return [_evidence(catalogue, item, tested, effects[:, column], most) for column, item in enumerate(recommended)]


def deletion_effects(
    history: np.ndarray, tested: Sequence[int], recommended: Sequence[int], score: Scorer
) -> np.ndarray:
    """Return by how many nats [tested, recommended] the scores fall when one of the tested items is removed."""
    scores = score([history, *(history[history != item] for item in tested)], recommended)
    return np.asarray(scores[0][None] - scores[1:], dtype=np.float64)


def shapley_values(
    history: np.ndarray, tested: Sequence[int], recommended: Sequence[int], score: Scorer, orders: int, seed: int = 0
) -> np.ndarray:
    """Return sampled Shapley values [tested, recommended] in nats: what an item adds, averaged over orders of coming in.

    Every order is followed by its reverse, which lowers the variance (Mitchell et al., "Sampling Permutations for Shapley
    Value Estimation", JMLR 2022); the seed decides which are drawn. What stands in the history beside the tested items is
    always there. Sets of items that recur are scored once.
    """
    random = np.random.default_rng(seed)
    drawn: list[np.ndarray] = []
    while len(drawn) < orders:
        drawn += [order := random.permutation(len(tested)), order[::-1]]
    drawn = drawn[:orders]
    sets = list(dict.fromkeys(frozenset(order[:n].tolist()) for order in drawn for n in range(len(tested) + 1)))
    number = {kept: row for row, kept in enumerate(sets)}
    gone = [[item for n, item in enumerate(tested) if n not in kept] for kept in sets]
    scores = np.asarray(score([history[~np.isin(history, out)] for out in gone], recommended), dtype=np.float64)
    values = np.zeros((len(tested), len(recommended)))
    for order in drawn:
        path = scores[[number[frozenset(order[:n].tolist())] for n in range(len(tested) + 1)]]
        values[order] += np.diff(path, axis=0)
    return values / len(drawn)


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


def shared_passages(catalogue: Catalogue, item: int, others: Sequence[int]) -> tuple[SharedFact, ...]:
    """Return for each of `others` the longest run of words that its text has in common with that of `item`.

    Runs of fewer than `SHORTEST_PASSAGE` words, or of words that say nothing, are left out.
    """
    text = catalogue[item].text
    own = words(text)[:LONGEST_TEXT]
    found: dict[str, list[int]] = {}
    for other in others:
        theirs = words(catalogue[other].text)[:LONGEST_TEXT]
        matcher = SequenceMatcher(None, [w.form for w in own], [w.form for w in theirs], autojunk=False)
        run = matcher.find_longest_match()
        telling = [w for w in own[run.a : run.a + run.size] if w.form not in NEUTRAL]
        if run.size >= SHORTEST_PASSAGE and len(telling) >= TELLING_WORDS:
            found.setdefault(text[own[run.a].start : own[run.a + run.size - 1].end], []).append(other)
    return tuple(SharedFact("text", passage, tuple(sharers)) for passage, sharers in found.items())
