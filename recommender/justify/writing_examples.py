"""Training examples for the stage `explain`: evidence from training histories, and true texts in varied templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recommender.config import Length
from recommender.data.catalogue import Catalogue
from recommender.justify.checker import ClaimChecker
from recommender.justify.companions import Companions
from recommender.justify.domain_style import style_about
from recommender.justify.evidence import Evidence, Influence, shared_facts, with_companions
from recommender.justify.planning import choose_template, make_outline, writing_prompt
from recommender.justify.style import Style
from recommender.justify.templates import templates_of

COLD_SHARE = 0.05
RELATED_SHARE = 0.75
WINDOW = 20
MOST_INFLUENCES = 3
_LENGTHS: tuple[Length, ...] = ("short", "normal", "normal", "detailed")
_DRAWS = 6


def explain_examples(
    catalogue: Catalogue,
    histories: Sequence[np.ndarray],
    count: int,
    seed: int,
    style: Style | None = None,
    companions: Companions | None = None,
) -> list[tuple[str, str]]:
    """Return (prompt, completion) pairs of every length; every completion passes the check. Deterministic in the seed.

    A later item of a history stands for the recommended one, one to three earlier items for its influences: those that
    share most with it, or any, so that texts without common facts are learned too; a few have no influence at all.
    `companions`: what many people had together.
    """
    random = np.random.default_rng([seed, count])
    checker = ClaimChecker(catalogue, liked=style is not None and style.liked)
    usable = [history for history in histories if len(history) > 1]
    examples = []
    for _ in range(count if usable else 0):
        evidence = simulated_evidence(catalogue, usable[int(random.integers(len(usable)))], random, companions)
        length = _LENGTHS[int(random.integers(len(_LENGTHS)))]
        own = style_about(replace(style or Style(), length=length), catalogue, evidence)
        examples.append(_example(checker, evidence, own, random))
    return examples


def simulated_evidence(
    catalogue: Catalogue, history: np.ndarray, random: np.random.Generator, companions: Companions | None = None
) -> Evidence:
    """Return evidence as it might be found for an item of a real history; the effects are made up."""
    position = int(random.integers(1, len(history)))
    item = int(history[position])
    earlier = list(dict.fromkeys(int(i) for i in history[max(position - WINDOW, 0) : position] if i != item))
    if not earlier or random.random() < COLD_SHARE:
        return Evidence(item)
    random.shuffle(earlier)
    if random.random() < RELATED_SHARE:
        earlier.sort(key=lambda other: -len(shared_facts(catalogue, item, [other])))
    influencing = earlier[: int(random.integers(1, MOST_INFLUENCES + 1))]
    influences = tuple(Influence(other, 1 / rank) for rank, other in enumerate(influencing, start=1))
    return with_companions(Evidence(item, influences, shared_facts(catalogue, item, influencing)), companions)


def _example(checker: ClaimChecker, evidence: Evidence, style: Style, random: np.random.Generator) -> tuple[str, str]:
    outline = make_outline(evidence, checker, style)
    templates = templates_of(checker.catalogue, outline, style, int(random.integers(2**31)))
    for template, _ in zip(templates, range(_DRAWS), strict=False):
        if checker.check(template.text, evidence, style.noun, style.size.words).ok:
            return writing_prompt(checker.catalogue, outline, style, template.cues), template.text
    outline, template = choose_template(evidence, checker, style)
    return writing_prompt(checker.catalogue, outline, style, template.cues), template.text
