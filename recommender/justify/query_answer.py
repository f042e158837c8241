"""Answers what a query asked for: which of it an item meets, and which not. Said first, before why the item fits a reader.

Only what the catalogue knows is answered: values of attributes that the query names, decades, and words of the item's own
description. A value behind "no", "not" or "without" is asked not to hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recommender import prompts
from recommender.data.catalogue import Catalogue
from recommender.justify.checker import ClaimChecker
from recommender.justify.english import neutral_words
from recommender.justify.facts import PEOPLE, FactIndex, Facts, fact_index, facts_of, label, role
from recommender.justify.inflection import plural, singular
from recommender.justify.item_names import display_name, words
from recommender.justify.kinds import kind_phrase
from recommender.justify.style import Style
from recommender.justify.templates import Fact, enumeration, facts_phrase
from recommender.justify.vocabulary import Span, Vocabulary

_NEGATIONS = frozenset("no not without nothing never isn except avoid hate hates dislike".split())
_BETWEEN = frozenset("a an the too any more very so really of from by with like".split())
_DECADE = re.compile(r"\b(?:(19|20)(\d)0|'?(\d)0)['’]?s\b")
#: words of a query that are looked for in a description are at least so long
_SHORTEST = 4
#: parts of a query that are answered; a longer answer would be read by nobody
MOST = 4


@dataclass(frozen=True)
class Asked:
    """One part of a query: an attribute, its value, and whether it is asked to hold."""

    name: str
    value: str
    holds: bool = True


@dataclass(frozen=True)
class Wanted:
    """What a part of a query may mean: a name can be a director's and an actor's. `group`: one of its parts is enough."""

    meanings: tuple[tuple[str, str], ...]
    holds: bool
    group: int

    def as_meant(self, facts: Facts) -> Asked:
        """Return the meaning that is true of an item, or else the likeliest."""
        true = (fact for fact in self.meanings if fact[1] in facts.get(fact[0], ()))
        name, value = next(true, self.meanings[0])
        return Asked(name, value, self.holds)


@dataclass(frozen=True)
class QueryAnswer:
    """What of a query one item meets and misses, and the sentence that says so."""

    met: tuple[Asked, ...]
    missed: tuple[Asked, ...]
    text: str


def wanted_in(query: str, checker: ClaimChecker, noun: str) -> tuple[Wanted, ...]:
    """Return the values of attributes that a query names, in its order; what something shall only be like is left out."""
    spans = list(checker.vocabulary.spans(query, neutral_words(noun)))
    index = fact_index(checker.catalogue)
    found: dict[tuple[tuple[str, str], ...], Wanted] = {}
    group = 0
    for place, span in enumerate(spans):
        if span.kind != "value" or (place and spans[place - 1].form == "like"):
            continue
        group += not (place > 1 and spans[place - 1].form == "or" and spans[place - 2].kind == "value")
        meanings = tuple(sorted(span.facts, key=lambda fact: _rarity(fact, index)))
        found.setdefault(meanings, Wanted(meanings, not _is_denied(spans, place), group))
    for match in _DECADE.finditer(query):
        century, tens, short = match.groups()
        decade = f"{century}{tens}0s" if century else f"{'20' if short in '01' else '19'}{short}0s"
        group += 1
        found.setdefault((("decade", decade),), Wanted((("decade", decade),), True, group))
    return tuple(found.values())[:MOST]


def _rarity(fact: tuple[str, str], index: FactIndex) -> tuple[int, int, str]:
    """Order meanings: of most items first; at the same number, who made all of an item."""
    who = role(fact[0])
    return -len(index.items(fact)), PEOPLE.index(who) if who in PEOPLE else len(PEOPLE), fact[0]


def _is_denied(spans: Sequence[Span], place: int) -> bool:
    """Return whether a value is asked not to hold: behind "no", with at most little words between."""
    for span in reversed(spans[:place]):
        if span.form in _NEGATIONS:
            return True
        if span.form not in _BETWEEN and span.kind != "value":
            return False
    return False


def answer_query(query: str, items: Sequence[int], checker: ClaimChecker, style: Style) -> list[QueryAnswer | None]:
    """Return an answer for each item; None where the query names nothing that is known of it."""
    wanted = wanted_in(query, checker, style.noun)
    looked_for = tuple(_content_words(query, checker.vocabulary, style.noun))
    return [_answer(wanted, looked_for, item, checker.catalogue, style) for item in items]


def _answer(
    wanted: Sequence[Wanted], looked_for: Sequence[str], item: int, catalogue: Catalogue, style: Style
) -> QueryAnswer | None:
    facts = facts_of(catalogue, item)
    parts = [(part.as_meant(facts), part.group) for part in wanted]
    met = tuple(part for part, _ in parts if _has(facts, part) == part.holds)
    enough = {group for part, group in parts if part in met}
    missed = tuple(part for part, group in parts if part not in met and group not in enough)
    text = frozenset(word.form for word in words(catalogue[item].text))
    told = tuple(word for word in looked_for if {word, singular(word), plural(word)} & text)[:2]
    if not (met or missed or told):
        return None
    meets = facts_phrase(_grouped([part for part in met if part.holds]), "one", style)
    unwanted = facts_phrase(_grouped([part for part in missed if not part.holds]), "one", style)
    quoted = enumeration([f"“{word}”" for word in told], style)
    variables = {
        "about": f'"{display_name(catalogue[item])}"',
        "meets": [*filter(None, [meets]), *(_denial(part, style) for part in met if not part.holds)],
        "told": quoted if told else "",
        "misses": [*(_denial(part, style) for part in missed if part.holds), *filter(None, [unwanted])],
    }
    return QueryAnswer(met, missed, prompts.render_block(f"answers/{answer_language(style)}", "asked", **variables))


def answer_language(style: Style) -> str:
    """Return the language that answers are given in: the style's, where there are answers in it, else English."""
    return style.language if style.language in prompts.answer_languages() else "en"


def _has(facts: Facts, part: Asked) -> bool:
    return part.value in facts.get(part.name, ())


def _grouped(parts: Sequence[Asked]) -> tuple[Fact, ...]:
    names = sorted(dict.fromkeys(part.name for part in parts), key=lambda name: role(name) != "kind")
    return tuple(Fact(name, tuple(part.value for part in parts if part.name == name)) for name in names)


def _denial(part: Asked, style: Style) -> str:
    """Return that a value does not hold, as a predicate: "is no comedy", "was not directed by Ang Lee"."""
    variables = {
        "role": role(part.name),
        "label": label(part.name),
        "value": part.value,
        "kind": kind_phrase((part.value,), style.words.singular, part.value, several=False),
    }
    return prompts.render_block(f"answers/{answer_language(style)}", "denial", **variables)


def _content_words(query: str, vocabulary: Vocabulary, noun: str) -> Iterator[str]:
    """Yield the words of a query that are none of the catalogue's values or names and claim nothing by themselves."""
    for span in vocabulary.spans(query, neutral_words(noun)):
        if span.kind == "unknown" and len(span.form) >= _SHORTEST and span.form.isalpha():
            yield span.form
