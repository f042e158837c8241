"""Examples for the stage `explain`: evidence from training histories, and true sentences in varied templates_of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recommender.config import Length
from recommender.data.catalogue import Catalogue
from recommender.justify.checker import ClaimChecker
from recommender.justify.evidence import Evidence, Influence, shared_facts
from recommender.justify.sentences import ask, outline, worded
from recommender.justify.style import Style
from recommender.justify.templates import templates_of

COLD_SHARE = 0.05
RELATED_SHARE = 0.75
WINDOW = 20
MOST_INFLUENCES = 3
_LENGTHS: tuple[Length, ...] = ("short", "normal", "normal", "detailed")
_DRAWS = 6


def explain_examples(
    catalogue: Catalogue, histories: Sequence[np.ndarray], count: int, seed: int, style: Style | None = None
) -> list[tuple[str, str]]:
    """Return (prompt, completion) pairs of every length; every completion passes the check. Deterministic in the seed.

    A later item of a history plays the recommended one, one to three earlier items its influences: those that share most
    with it, or any, so that sentences without common facts are learned too; a few have no influence at all.
    """
    random = np.random.default_rng([seed, count])
    checker = ClaimChecker(catalogue)
    usable = [history for history in histories if len(history) > 1]
    examples = []
    for _ in range(count if usable else 0):
        evidence = simulated_evidence(catalogue, usable[int(random.integers(len(usable)))], random)
        length = _LENGTHS[int(random.integers(len(_LENGTHS)))]
        examples.append(_example(checker, evidence, replace(style or Style(), length=length), random))
    return examples


def simulated_evidence(catalogue: Catalogue, history: np.ndarray, random: np.random.Generator) -> Evidence:
    """Return evidence as it might be found for an item of a real history. Effects are made up."""
    position = int(random.integers(1, len(history)))
    item = int(history[position])
    earlier = list(dict.fromkeys(int(i) for i in history[max(position - WINDOW, 0) : position] if i != item))
    if not earlier or random.random() < COLD_SHARE:
        return Evidence(item)
    random.shuffle(earlier)
    if random.random() < RELATED_SHARE:
        earlier.sort(key=lambda other: -len(shared_facts(catalogue, item, [other])))
    chosen = earlier[: int(random.integers(1, MOST_INFLUENCES + 1))]
    influences = tuple(Influence(other, 1 / rank) for rank, other in enumerate(chosen, start=1))
    return Evidence(item, influences, shared_facts(catalogue, item, chosen))


def _example(checker: ClaimChecker, evidence: Evidence, style: Style, random: np.random.Generator) -> tuple[str, str]:
    plan = outline(evidence, checker, style)
    drawn = templates_of(checker.catalogue, plan, style, int(random.integers(2**31)))
    for wording, _ in zip(drawn, range(_DRAWS), strict=False):
        if checker.check(wording.text, evidence, style.noun, style.size.words).ok:
            return ask(checker.catalogue, plan, style, wording.cues), wording.text
    plan, wording = worded(evidence, checker, style)
    return ask(checker.catalogue, plan, style, wording.cues), wording.text
