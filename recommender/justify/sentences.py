"""Sentences from evidence: the message that asks the LLM for one, and plain ones that are true by construction.

All wording stands in prompts/explain.jinja; here is decided what is said: which history items are named, and which
facts, all of which hold for the recommended item and for every history item that is named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recommender import prompts
from recommender.catalogue import Catalogue
from recommender.justify.claims import ClaimChecker
from recommender.justify.english import domain
from recommender.justify.evidence import Evidence, SharedFact
from recommender.justify.facts import facts_of, label, role, years_of
from recommender.justify.text import display_name, title_year

MOST_NAMED = 3
MOST_GROUPS = 2
MOST_VALUES = 2
#: the more telling roles first; any other attribute comes last, for its name may not fit a sentence
_TELLING = ("director", "writer", "artist", "cast", "kind", "year", "decade")


@dataclass(frozen=True)
class Fact:
    """One attribute as it will be spoken: its name and the values that hold for everything that is named."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Outline:
    """What a sentence is about to say: of `item`, naming these history items (`others`), with these facts."""

    item: int
    others: tuple[int, ...]
    facts: tuple[Fact, ...]


def outline(evidence: Evidence, checker: ClaimChecker) -> Outline:
    """Choose what to say: the facts that all influences share, or else those of the strongest that shares any."""
    catalogue, influences = (
        checker.catalogue,
        [influence.item for influence in evidence.influences[:MOST_NAMED]],
    )
    if not influences:
        own = facts_of(catalogue, evidence.item)
        held = [SharedFact(name, value, ()) for name, values in own.items() for value in values]
        if years_of(own):  # stands behind the title
            held = [fact for fact in held if fact.name != "decade" and role(fact.name) != "year"]
        return Outline(evidence.item, (), _spoken(held, checker))
    if not evidence.shared:
        return Outline(evidence.item, tuple(influences), ())
    named = _sharers(evidence.shared, influences)
    common = [fact for fact in evidence.shared if set(named) <= set(fact.items)]
    return Outline(evidence.item, named, _spoken(common, checker))


def _sharers(shared: Sequence[SharedFact], influences: Sequence[int]) -> tuple[int, ...]:
    """Return all influences if one fact holds for all, else those that share a fact with the strongest that shares one."""
    first = next((i for i in influences if any(i in fact.items for fact in shared)), None)
    if first is None:
        return tuple(influences)
    best = max(
        (fact for fact in shared if first in fact.items),
        key=lambda fact: len(set(fact.items) & set(influences)),
    )
    return tuple(i for i in influences if i in best.items)


def _spoken(facts: Sequence[SharedFact], checker: ClaimChecker) -> tuple[Fact, ...]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for fact in facts:
        if checker.vocabulary.sayable(fact.value):
            groups[fact.name].append(fact.value)
    chosen = sorted(groups, key=lambda name: _rank(role(name)))[:MOST_GROUPS]
    chosen.sort(key=lambda name: role(name) != "kind")
    return tuple(Fact(name, tuple(groups[name][:MOST_VALUES])) for name in chosen)


def _rank(part: str) -> int:
    return _TELLING.index(part) if part in _TELLING else len(_TELLING)


def ask(catalogue: Catalogue, plan: Outline, noun: str) -> str:
    """Return the user's message that asks for a sentence on an outline."""
    return prompts.render_block("explain", "ask", **_variables(catalogue, plan, noun))


def wordings(catalogue: Catalogue, plan: Outline, noun: str) -> list[str]:
    """Return every wording of a plain sentence on an outline, the most telling ones first."""
    block = ("shared" if plan.facts else "unshared") if plan.others else "alone" if plan.facts else "bare"
    lines = prompts.render_block("explain", block, **_variables(catalogue, plan, noun)).splitlines()
    return [_capital(line.strip()) for line in lines if line.strip()]


def _variables(catalogue: Catalogue, plan: Outline, noun: str) -> dict[str, Any]:
    """Return what the templates speak of: names in quotation marks, and the facts as three kinds of phrases."""
    return {
        "about": _about(catalogue, plan.item),
        "history": _listed([_quoted(catalogue, other) for other in plan.others]),
        "many": len(plan.others) > 1,
        "is_one": _said(plan.facts, "one", noun),
        "are_all": _said(plan.facts, "all", noun),
        "group": _said(plan.facts, "group", noun),
        "verb": domain(noun).verbs[0],
    }


def plain(evidence: Evidence, checker: ClaimChecker, noun: str = "items") -> str:
    """Return a true sentence: the wording that the item's turn gives, or the next one that passes the check.

    Odd catalogues may have values that read as ordinary words, so less and less is said until all of it can be checked.
    """
    plan = outline(evidence, checker)
    candidates: list[str] = []
    for shorter in _simpler(plan):
        lines = wordings(checker.catalogue, shorter, noun)
        turn = evidence.item % len(lines)
        for line in (*lines[turn:], *lines[:turn]):
            if checker.check(line, evidence, noun).ok:
                return line
        candidates += lines
    return candidates[-1]


def _simpler(plan: Outline) -> Iterator[Outline]:
    yield plan
    if len(plan.facts) > 1:
        for fact in plan.facts:
            yield Outline(plan.item, plan.others, (fact,))
    if plan.facts:
        yield Outline(plan.item, plan.others, ())


def _said(facts: Sequence[Fact], form: str, noun: str) -> str:
    """Return facts as one phrase: "is a Drama film from the 1990s", "stars Tom Hanks and is from 1995"."""
    if not facts:
        return ""
    joins = form == "group" or role(facts[0].name) == "kind"
    first = _phrase(facts[0], form, noun)
    rest = [_phrase(fact, "tail" if joins else form, noun) for fact in facts[1:]]
    return " ".join([first, *rest]) if joins else _listed([first, *rest])


def _phrase(fact: Fact, form: str, noun: str) -> str:
    own = label(fact.name)
    variables: Mapping[str, Any] = {
        "form": form,
        "role": role(fact.name),
        "label": own if len(fact.values) == 1 or own.endswith("s") else _plural(own),
        "values": _listed(fact.values),
        "one": domain(noun).one,
        "many": domain(noun).many,
    }
    return prompts.render_block("explain", "fact", **variables)


def _plural(word: str) -> str:
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def _listed(values: Sequence[str]) -> str:
    return prompts.render_block("explain", "listed", values=list(values))


def _quoted(catalogue: Catalogue, item: int) -> str:
    return f'"{display_name(catalogue[item])}"'


def _about(catalogue: Catalogue, item: int) -> str:
    """Return the quoted name of the recommended item, with its year unless the title has one."""
    years = years_of(facts_of(catalogue, item))
    name = _quoted(catalogue, item)
    return f"{name} ({years[0]})" if years and not title_year(catalogue[item].title) else name


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
