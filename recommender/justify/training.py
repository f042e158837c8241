"""Examples for the stage `explain`: evidence from training histories, and true sentences in varied wordings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recommender.catalogue import Catalogue
from recommender.justify.claims import ClaimChecker
from recommender.justify.evidence import Evidence, Influence, shared_facts
from recommender.justify.sentences import Outline, ask, outline, plain, wordings

COLD_SHARE = 0.05
RELATED_SHARE = 0.75
WINDOW = 20
_DRAWS = 4


def explain_examples(
    catalogue: Catalogue, histories: Sequence[np.ndarray], count: int, seed: int, noun: str = "items"
) -> list[tuple[str, str]]:
    """Return (prompt, completion) pairs; every completion passes the check. Deterministic in the seed.

    A later item of a history plays the recommended one, one or two earlier items its influences: those that share most
    with it, or any, so that sentences without common facts are learned too; a few have no influence at all.
    """
    random = np.random.default_rng([seed, count])
    checker = ClaimChecker(catalogue)
    usable = [history for history in histories if len(history) > 1]
    examples = []
    for _ in range(count if usable else 0):
        evidence = simulated_evidence(catalogue, usable[int(random.integers(len(usable)))], random)
        examples.append(_example(checker, evidence, noun, random))
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
    chosen = earlier[: int(random.integers(1, 3))]
    influences = tuple(Influence(other, 1 / rank) for rank, other in enumerate(chosen, start=1))
    return Evidence(item, influences, shared_facts(catalogue, item, chosen))


def _example(checker: ClaimChecker, evidence: Evidence, noun: str, random: np.random.Generator) -> tuple[str, str]:
    plan = outline(evidence, checker)
    prompt = ask(checker.catalogue, plan, noun)
    for _ in range(_DRAWS):
        lines = wordings(checker.catalogue, _part(plan, random), noun)
        line = lines[int(random.integers(len(lines)))]
        if checker.check(line, evidence, noun).ok:
            return prompt, line
    return prompt, plain(evidence, checker, noun)


def _part(plan: Outline, random: np.random.Generator) -> Outline:
    """A sentence need not say everything: now and then it keeps to one of two facts."""
    if len(plan.facts) < 2 or random.random() < 0.6:
        return plan
    return Outline(plan.item, plan.others, (plan.facts[int(random.integers(len(plan.facts)))],))
