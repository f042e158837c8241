"""The caveat of a detailed justification: one way in which an item is unlike the history that it is recommended for.

It is found by counting, not written by the language model: a language, a kind or an age that hardly anything in the history
has. What is not known of most of the history is not compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recommender import prompts
from recommender.data.catalogue import Catalogue
from recommender.justify.facts import facts_of, role, years_of
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

    With `older` the item is older than all of them, by its year.
    """

    name: str
    value: str
    having: int
    known: int
    older: bool = False


def find_caveat(catalogue: Catalogue, item: int, history: Sequence[int]) -> Caveat | None:
    """Return how an item differs from a history; None if it does not, or if too little is known to say so."""
    return next((c for which in _ROLES if (c := _unusual(catalogue, item, history, which))), None) or _older(
        catalogue, item, history
    )


def _unusual(catalogue: Catalogue, item: int, history: Sequence[int], which: str) -> Caveat | None:
    """Return the value of a role that the fewest of the history have."""
    found: list[Caveat] = []
    for name, values in facts_of(catalogue, item).items():
        if role(name) != which:
            continue
        known = [set(theirs) for other in history if (theirs := facts_of(catalogue, int(other)).get(name))]
        if which == "language" and len(values) > 1:
            continue
        counts = [Caveat(name, value, sum(value in theirs for theirs in known), len(known)) for value in values]
        found += [c for c in counts if c.known >= _FEWEST and c.having <= _HARDLY * c.known]
    return min(found, key=lambda caveat: caveat.having, default=None)


def _older(catalogue: Catalogue, item: int, history: Sequence[int]) -> Caveat | None:
    years = [min(map(int, own)) for other in history if (own := years_of(facts_of(catalogue, int(other))))]
    own = years_of(facts_of(catalogue, item))
    if len(years) < _FEWEST or not own or int(own[0]) + _OLDER > min(years):
        return None
    return Caveat("year", own[0], 0, len(years), older=True)


def caveat_text(caveat: Caveat, style: Style) -> str:
    """Return a caveat as a sentence about "it"."""
    predicate = facts_phrase((Fact(caveat.name, (caveat.value,)),), "one", style)
    variables = {"predicate": predicate, "having": caveat.having, "known": caveat.known, "older": caveat.older}
    return prompts.render_block(f"answers/{answer_language(style)}", "caveat", **variables)
