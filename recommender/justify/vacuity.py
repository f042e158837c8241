"""Vacuous sentences: those that say nothing, or what holds for much of a catalogue, where something telling is known."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from recommender.justify.evidence import Evidence
from recommender.justify.facts import PEOPLE, Fact, FactIndex, role
from recommender.justify.information import bits, telling

#: facts that say nothing of what an item is
_IDLE = frozenset(("year", "decade", "rating", "age rating", "publisher", "label"))
#: facts that are an item's own
_OWN = frozenset((*PEOPLE, "series", "theme", "keyword", "tag", "subject"))
#: words of the shortest sentences, which have no room for two facts
_SHORT = 20
#: items of a catalogue; in a smaller one three items are more than a fifth, and nobody needs to be told more
_SMALLEST = 15


def vacuous(
    index: FactIndex,
    evidence: Evidence,
    claimed: Collection[Fact],
    named: frozenset[int],
    sayable: Callable[[str], bool],
    most_words: int,
) -> str | None:
    """Return why a sentence is vacuous, or None.

    `claimed`: the facts that it truly states of the item; `named`: the history items that it names; `most_words`: how
    long it may be.
    """
    if len(index.facts) < _SMALLEST:
        return None
    facts = index.facts[evidence.item]
    known = [(name, value) for name, values in facts.items() for value in values if sayable(value)]
    if all(role(name) in _IDLE for name, _ in claimed) and any(
        role(name) not in _IDLE | {"series"} for name, _ in known
    ):
        return "says only when it was made or the like" if claimed else "says nothing of it, where something is known"
    if claimed and bits(index, claimed) >= telling(index):
        return None
    shared = [(f.name, f.value) for f in evidence.shared if named and named <= set(f.items) and sayable(f.value)]
    if _telling(index, (fact for fact in shared if role(fact[0]) in _OWN | {"kind"})):
        return "is true of too many, where they share more"
    if most_words > _SHORT and _telling(index, (fact for fact in known if role(fact[0]) in _OWN - {"series"})):
        return "is true of too many, where more is known of it"
    return None


def _telling(index: FactIndex, facts: Iterable[Fact]) -> bool:
    return any(bits(index, (fact,)) >= telling(index) for fact in facts)
