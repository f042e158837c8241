"""What a sentence says: which history items it names and which facts, all of which hold for everything that it names.

From it come the message that asks the LLM for a sentence, and a plain one that is true by construction. All wording
stands in prompts/.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence

from recommender import prompts
from recommender.data.catalogue import Catalogue
from recommender.justify.checker import ClaimChecker
from recommender.justify.evidence import Evidence, SharedFact
from recommender.justify.facts import facts_of, role, years_of
from recommender.justify.style import ENGLISH, Style
from recommender.justify.templates import Fact, Outline, Template, phrases_of, templates_of

#: the more telling roles first; any other attribute comes last, for its name may not fit a sentence
_TELLING = ("director", "writer", "artist", "cast", "kind", "year", "decade")


def outline(evidence: Evidence, checker: ClaimChecker, style: Style) -> Outline:
    """Choose what to say: the facts that all influences share, or else those of the strongest that shares any."""
    catalogue = checker.catalogue
    influences = [influence.item for influence in evidence.influences[: style.size.named]]
    if not influences:
        own = facts_of(catalogue, evidence.item)
        held = [SharedFact(name, value, ()) for name, values in own.items() for value in values]
        if years_of(own):  # stands behind the title
            held = [fact for fact in held if fact.name != "decade" and role(fact.name) != "year"]
        return Outline(evidence.item, (), _spoken(held, checker, style))
    shared = [fact for fact in evidence.shared if set(fact.items) & set(influences)]
    if not shared:
        return Outline(evidence.item, tuple(influences), ())
    named = _sharers(shared, influences)
    common = [fact for fact in shared if set(named) <= set(fact.items)]
    return Outline(evidence.item, named, _spoken(common, checker, style))


def _sharers(shared: Sequence[SharedFact], influences: Sequence[int]) -> tuple[int, ...]:
    """Return all influences if one fact holds for all, else those that share a fact with the strongest that shares one."""
    first = next(i for i in influences if any(i in fact.items for fact in shared))
    best = max(
        (fact for fact in shared if first in fact.items),
        key=lambda fact: len(set(fact.items) & set(influences)),
    )
    return tuple(i for i in influences if i in best.items)


def _spoken(facts: Sequence[SharedFact], checker: ClaimChecker, style: Style) -> tuple[Fact, ...]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for fact in facts:
        if checker.vocabulary.sayable(fact.value):
            groups[fact.name].append(fact.value)
    chosen = sorted(groups, key=lambda name: (_liked(name, style), _rank(role(name))))[: style.size.groups]
    chosen.sort(key=lambda name: role(name) != "kind")
    return tuple(Fact(name, tuple(groups[name][: style.size.values])) for name in chosen)


def _liked(name: str, style: Style) -> int:
    return style.prefers.index(name) if name in style.prefers else len(style.prefers)


def _rank(part: str) -> int:
    return _TELLING.index(part) if part in _TELLING else len(_TELLING)


def ask(catalogue: Catalogue, plan: Outline, style: Style, cues: Sequence[str]) -> str:
    """Return the user's message that asks for a sentence on an outline, to be built with `cues`."""
    told = phrases_of(catalogue, plan, style) | {"length": style.length, "cues": list(cues)}
    verb = next((word for word in style.spoken.verbs if word in cues), style.spoken.verbs[0])
    return prompts.render_block("explain", "ask", verb=verb, **told)


def turn_of(evidence: Evidence) -> int:
    """Return a number that the wording goes by: the same for the same evidence, unlike for unlike."""
    return zlib.crc32(repr((evidence.item, [i.item for i in evidence.influences])).encode())


def worded(evidence: Evidence, checker: ClaimChecker, style: Style) -> tuple[Outline, Template]:
    """Return what will be said and a true sentence that says it: the first, in the evidence's turn, that passes the check.

    Odd catalogues may have values that read as ordinary words, so less and less is said until all of it can be checked.
    Languages other than English are true by construction: their sentences hold nothing but names and facts of the outline.
    """
    plan, turn = outline(evidence, checker, style), turn_of(evidence)
    last: tuple[Outline, Template] | None = None
    for shorter in _simpler(plan):
        for wording in templates_of(checker.catalogue, shorter, style, turn):
            last = shorter, wording
            if style.language != ENGLISH or checker.check(wording.text, evidence, style.noun, style.size.words).ok:
                return last
    assert last is not None  # every language has a line for every outline
    return last


def plain(evidence: Evidence, checker: ClaimChecker, style: Style) -> str:
    """Return a true sentence that needs no language model."""
    return worded(evidence, checker, style)[1].text


def _simpler(plan: Outline) -> Iterator[Outline]:
    yield plan
    if len(plan.facts) > 1:
        for fact in plan.facts:
            yield Outline(plan.item, plan.others, (fact,))
    if len(plan.others) > 1:
        yield Outline(plan.item, plan.others[:1], plan.facts)
    if plan.facts:
        yield Outline(plan.item, plan.others, ())
    if len(plan.others) > 1:
        yield Outline(plan.item, plan.others[:1], ())
