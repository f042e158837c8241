"""Plans a justification: which history items and which shared facts it names, and a template that says it truly.

From the plan come the prompt that asks the LLM for a justification, and a plain one that is true by construction. All
texts stand in prompts/.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from recommender import prompts
from recommender.data.catalogue import Catalogue
from recommender.justify.checker import ClaimChecker
from recommender.justify.evidence import Evidence
from recommender.justify.fact_choice import FactChoice
from recommender.justify.facts import fact_index
from recommender.justify.style import CROWD, ENGLISH, Style
from recommender.justify.templates import Outline, Template, phrases_of, templates_of


def make_outline(evidence: Evidence, checker: ClaimChecker, style: Style) -> Outline:
    """Choose what to say: facts that tell most, of the history items that count most, or else what the item itself is.

    Without influences the facts are the item's own. With influences that share nothing telling with it, `own` says what the
    item is, and those are named that many people had together with it, or else all as they are. What many had together
    also tells more than one common kind: "both are action films". Whoever prefers to hear of others hears of them first.
    """
    choice = FactChoice(fact_index(checker.catalogue), checker.vocabulary.sayable, style)
    influences = evidence.influences[: style.size.named]
    if not influences:
        return Outline(evidence.item, (), (), choice.of_item(evidence.item))
    named, facts = choice.shared(evidence, influences)
    many = evidence.companions[: style.size.named]
    if facts and not (many and (choice.is_common(facts) or style.prefers == (CROWD,))):
        return Outline(evidence.item, named, facts, choice.of_item(evidence.item, facts))
    own = choice.of_item(evidence.item)
    if many:
        others, counts = (tuple(numbers) for numbers in zip(*many, strict=True))
        return Outline(evidence.item, others, (), own, counts)
    named = tuple(influence.item for influence in influences)
    return Outline(evidence.item, named, facts, own)


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
    for fact in outline.own if len(outline.own) > 1 else ():
        yield replace(outline, own=(fact,))
    if outline.own and outline.facts:
        yield replace(outline, own=())
    for fact in outline.facts if len(outline.facts) > 1 else ():
        yield replace(outline, facts=(fact,), own=())
    if len(outline.others) > 1:
        yield replace(outline, others=outline.others[:1], crowd=outline.crowd[:1])
    yield replace(outline, others=outline.others[:1], facts=(), own=(), crowd=outline.crowd[:1])
    if outline.crowd:
        yield from _shortened(replace(outline, crowd=()))
