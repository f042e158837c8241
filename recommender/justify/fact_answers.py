"""Answers to questions about one item, from what the catalogue says of it: who made it, what it is about, for whom it is.

A question that the catalogue has no answer to is answered so; nothing is made up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from recommender import prompts
from recommender.data.catalogue import Catalogue
from recommender.justify.facts import PEOPLE, Facts, facts_of, role, years_of
from recommender.justify.item_names import display_name
from recommender.justify.style import Style
from recommender.justify.templates import enumeration

#: what may be asked of an item
TOPICS = ("director", "cast", "writer", "artist", "year", "runtime", "audience", "kind", "language", "country", "about")
#: characters of a description that are quoted, to the end of a sentence
_QUOTED = 400
_PEOPLE_NAMED, _VALUES_NAMED = 5, 4
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_RUNTIME = frozenset(("runtime", "running time", "length", "duration", "minutes"))
_FOR_CHILDREN = frozenset(("children's", "children", "family", "kids", "animation"))
_FOR_ALL, _NOT_FOR_CHILDREN = (
    frozenset(("g", "tv-g", "tv-y", "u", "approved")),
    frozenset(("r", "nc-17", "x", "tv-ma", "18")),
)


def fact_answer(catalogue: Catalogue, item: int, topic: str, style: Style) -> str:
    """Answer a question on one of `TOPICS` about an item, in the language of a style."""
    facts, name = facts_of(catalogue, item), f'"{display_name(catalogue[item])}"'
    values = _values(facts, topic)
    variables = {
        "about": name,
        "topic": topic,
        "values": enumeration(values, style),
        "many": len(values) > 1,
        "kinds": enumeration(_values(facts, "kind"), style),
        "makers": enumeration(
            _values(facts, "director") or _values(facts, "artist") or _values(facts, "writer"), style
        ),
        "people": enumeration(_values(facts, "cast")[:3], style),
        "year": next(iter(years_of(facts)), ""),
        "audience": _audience(facts),
        "description": _beginning(catalogue[item].text),
    }
    language = style.language if style.language in prompts.answer_languages() else "en"
    return prompts.render_block(f"answers/{language}", "fact", **variables)


def _values(facts: Facts, topic: str) -> list[str]:
    if topic == "year":
        return list(years_of(facts))
    if topic == "runtime":
        return [v for name, values in facts.items() if role(name) in _RUNTIME for v in values][:1]
    if topic == "audience":
        return [v for name, values in facts.items() if role(name) == "age rating" for v in values][:1]
    most = _PEOPLE_NAMED if topic in PEOPLE else _VALUES_NAMED
    return [v for name, values in facts.items() if role(name) == topic for v in values][:most]


def _audience(facts: Facts) -> str:
    """Return whether an item is for children, as far as its kinds and its rating tell: yes, no or nothing."""
    rating = {value.casefold() for value in _values(facts, "audience")}
    if rating & _NOT_FOR_CHILDREN:
        return "no"
    kinds = {value.casefold() for name, values in facts.items() if role(name) == "kind" for value in values}
    return "yes" if kinds & _FOR_CHILDREN or rating & _FOR_ALL else ""


def _beginning(text: str | None) -> str:
    """Return the first whole sentences of a description, at most so many characters of them."""
    sentences: Sequence[str] = _SENTENCE.split(" ".join((text or "").replace('"', "'").split()))
    said = sentences[0] if sentences else ""
    for sentence in sentences[1:]:
        if len(said) + len(sentence) + 1 > _QUOTED:
            break
        said = f"{said} {sentence}"
    return said if len(said) <= _QUOTED else f"{said[: said.rfind(' ', 0, _QUOTED)]}…"
