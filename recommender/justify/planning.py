"""Plans a justification: which history items and which shared facts it names, and a template that says it truly.

From the plan come the prompt that asks the LLM for a justification, and a plain one that is true by construction. All
texts stand in prompts/.
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

#: the roles that say most come first; any other attribute comes last, for its name may not fit a sentence
_ROLES_BY_INTEREST = ("director", "writer", "artist", "cast", "kind", "year", "decade")


def make_outline(evidence: Evidence, checker: ClaimChecker, style: Style) -> Outline:
    """Choose the facts that all influences share with the item, or else those of the strongest that shares any.

    Without influences the facts are the item's own.
    """
    influences = [influence.item for influence in evidence.influences[: style.size.named]]
    if not influences:
        return Outline(evidence.item, (), _group_by_attribute(_facts_of_item(evidence.item, checker), checker, style))
    shared = [fact for fact in evidence.shared if set(fact.items) & set(influences)]
    if not shared:
        return Outline(evidence.item, tuple(influences), ())
    named = _sharing_influences(shared, influences)
    common = [fact for fact in shared if set(named) <= set(fact.items)]
    return Outline(evidence.item, named, _group_by_attribute(common, checker, style))


def _facts_of_item(item: int, checker: ClaimChecker) -> list[SharedFact]:
    facts = facts_of(checker.catalogue, item)
    pairs = [SharedFact(name, value, ()) for name, values in facts.items() for value in values]
    if years_of(facts):  # the year stands behind the title already
        pairs = [fact for fact in pairs if fact.name != "decade" and role(fact.name) != "year"]
    return pairs


def _sharing_influences(shared: Sequence[SharedFact], influences: Sequence[int]) -> tuple[int, ...]:
    """Return all influences if one fact holds for all, else those that share a fact with the strongest that shares any."""
    first = next(i for i in influences if any(i in fact.items for fact in shared))
    widest = max(
        (fact for fact in shared if first in fact.items),
        key=lambda fact: len(set(fact.items) & set(influences)),
    )
    return tuple(i for i in influences if i in widest.items)


def _group_by_attribute(facts: Sequence[SharedFact], checker: ClaimChecker, style: Style) -> tuple[Fact, ...]:
    """Return the facts to be said, values grouped by attribute; as many as the style's length allows."""
    values: defaultdict[str, list[str]] = defaultdict(list)
    for fact in facts:
        if checker.vocabulary.sayable(fact.value):
            values[fact.name].append(fact.value)
    names = sorted(values, key=lambda name: (_preference(name, style), _interest(role(name))))[: style.size.groups]
    names.sort(key=lambda name: role(name) != "kind")
    return tuple(Fact(name, tuple(values[name][: style.size.values])) for name in names)


def _preference(name: str, style: Style) -> int:
    return style.prefers.index(name) if name in style.prefers else len(style.prefers)


def _interest(attribute_role: str) -> int:
    known = attribute_role in _ROLES_BY_INTEREST
    return _ROLES_BY_INTEREST.index(attribute_role) if known else len(_ROLES_BY_INTEREST)


def writing_prompt(catalogue: Catalogue, outline: Outline, style: Style, cues: Sequence[str]) -> str:
    """Return the user's message that asks the LLM to justify an outline in words that include `cues`."""
    variables = phrases_of(catalogue, outline, style) | {"length": style.length, "cues": list(cues)}
    verb = next((word for word in style.words.verbs if word in cues), style.words.verbs[0])
    return prompts.render_block("explain", "ask", verb=verb, **variables)


def template_seed(evidence: Evidence) -> int:
    """Return the number that decides the order of templates: a function of the evidence alone."""
    return zlib.crc32(repr((evidence.item, [influence.item for influence in evidence.influences])).encode())


def choose_template(evidence: Evidence, checker: ClaimChecker, style: Style) -> tuple[Outline, Template]:
    """Return an outline and the first template on it, in the order of the evidence's seed, that passes the check.

    Some catalogues have values that read as ordinary words, so the outline is shortened until all of it can be checked.
    Languages other than English are true by construction: they hold nothing but names and facts of the outline.
    """
    outline, seed = make_outline(evidence, checker, style), template_seed(evidence)
    last: tuple[Outline, Template] | None = None
    for shorter in _shortened(outline):
        for template in templates_of(checker.catalogue, shorter, style, seed):
            last = shorter, template
            if style.language != ENGLISH or checker.check(template.text, evidence, style.noun, style.size.words).ok:
                return last
    assert last is not None  # every language has a line for every outline
    return last


def _shortened(outline: Outline) -> Iterator[Outline]:
    """Yield an outline and what is left of it when it says less and less."""
    yield outline
    if len(outline.facts) > 1:
        for fact in outline.facts:
            yield Outline(outline.item, outline.others, (fact,))
    if len(outline.others) > 1:
        yield Outline(outline.item, outline.others[:1], outline.facts)
    if outline.facts:
        yield Outline(outline.item, outline.others, ())
    if len(outline.others) > 1:
        yield Outline(outline.item, outline.others[:1], ())
