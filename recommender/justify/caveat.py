"""The caveat of a detailed justification: one way in which an item is unlike the history that it is recommended for.

It is found by counting, not written by the language model: a language, a kind or an age that hardly anything in the history
has. What is known of less than half of the history is not compared, and of how many it is known is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recommender import prompts
from recommender.data.catalogue import Catalogue
from recommender.justify.facts import facts_of, label, role, years_of
from recommender.justify.query_answer import answer_language
from recommender.justify.style import Style
from recommender.justify.templates import Fact, facts_phrase

#: what is compared, the more telling first
_ROLES = ("language", "kind")
#: the share of a history that may have what it "hardly" has
_HARDLY = 0.1
#: items of a history of which something must be known before anything is said
_FEWEST = 3
#: years by which an item is older than all of the history before that is said
_OLDER = 15


@dataclass(frozen=True)
class Caveat:
    """`value` of the attribute `name` is true of the item and of `having` of the `known` items of the history.

    `known`: of how many of its `items` the attribute is known. `older`: the item is older than all of them, by its year.
    """

    name: str
    value: str
    having: int
    known: int
    items: int
    older: bool = False


def find_caveat(catalogue: Catalogue, item: int, history: Sequence[int]) -> Caveat | None:
    """Return how an item differs from a history; None if it does not, or if too little is known to say so."""
    different = list(dict.fromkeys(map(int, history)))
    return next((c for which in _ROLES if (c := _unusual(catalogue, item, different, which))), None) or _older(
        catalogue, item, different
    )


def _unusual(catalogue: Catalogue, item: int, history: Sequence[int], which: str) -> Caveat | None:
    """Return the value of a role that the fewest of the history have."""
    found: list[Caveat] = []
    for name, values in facts_of(catalogue, item).items():
        if role(name) != which:
            continue
        known = [set(theirs) for other in history if (theirs := facts_of(catalogue, other).get(name))]
        if len(known) < max(_FEWEST, len(history) / 2) or (which == "language" and len(values) > 1):
            continue
        having = {value: sum(value in theirs for theirs in known) for value in values}
        found += [
            Caveat(name, value, count, len(known), len(history))
            for value, count in having.items()
            if count <= _HARDLY * len(known)
        ]
    return min(found, key=lambda caveat: caveat.having, default=None)


def _older(catalogue: Catalogue, item: int, history: Sequence[int]) -> Caveat | None:
    years = [min(map(int, theirs)) for other in history if (theirs := years_of(facts_of(catalogue, other)))]
    own = years_of(facts_of(catalogue, item))
    # "older than anything" can be said only where the year of everything is known
    if len(years) < max(_FEWEST, len(history)) or not own or max(map(int, own)) + _OLDER > min(years):
        return None
    return Caveat("year", own[0], 0, len(years), len(history), older=True)


def caveat_text(caveat: Caveat, style: Style) -> str:
    """Return a caveat as a sentence about "it"."""
    predicate = facts_phrase((Fact(caveat.name, (caveat.value,)),), "one", style)
    return prompts.render_block(
        f"answers/{answer_language(style)}",
        "caveat",
        predicate=predicate,
        label=label(caveat.name),
        having=caveat.having,
        known=caveat.known,
        items=caveat.items,
        older=caveat.older,
    )
