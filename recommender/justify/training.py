"""Examples for the stage `explain`: evidence from training histories, and true sentences in varied wordings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recommender.catalogue import Catalogue
from recommender.justify.evidence import Evidence, Influence, shared_facts
from recommender.justify.sentences import VARIANTS, ask, plain

COLD_SHARE = 0.05


def explain_examples(
    catalogue: Catalogue, histories: Sequence[np.ndarray], count: int, seed: int, noun: str = "items"
) -> list[tuple[str, str]]:
    """Return (prompt, completion) pairs. A later item of a history plays the recommended one, one or two earlier items
    its influences: those that share most with it, or at random, so that sentences without common facts are learned too."""
    random = np.random.default_rng([seed, count])
    usable = [history for history in histories if len(history) > 2]
    examples = []
    for _ in range(count if usable else 0):
        history = usable[int(random.integers(len(usable)))]
        evidence = _simulated(catalogue, history, random)
        completion = plain(catalogue, evidence, int(random.integers(VARIANTS)))
        examples.append((ask(catalogue, evidence, noun), completion))
    return examples


def _simulated(catalogue: Catalogue, history: np.ndarray, random: np.random.Generator) -> Evidence:
    position = int(random.integers(1, len(history)))
    item = int(history[position])
    if random.random() < COLD_SHARE:
        return Evidence(item)
    earlier = list(dict.fromkeys(int(i) for i in history[max(position - 20, 0) : position] if i != item))
    random.shuffle(earlier)
    if random.random() < 0.7:
        earlier.sort(key=lambda other: -len(shared_facts(catalogue, item, [other])))
    chosen = earlier[: int(random.integers(1, 3))]
    influences = tuple(Influence(other, 1.0) for other in chosen)
    return Evidence(item, influences, shared_facts(catalogue, item, chosen))
