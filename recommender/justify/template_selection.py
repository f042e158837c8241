"""Template selection: which lines of the language a small writing model has learned well.

The pass rate of each line is measured after training, on evidence from training histories, and kept with the checkpoint.
The engine then asks for the lines that pass often. What the model writes is checked all the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.justify.checker import ClaimChecker
from recommender.justify.companions import Companions
from recommender.justify.evidence import Evidence
from recommender.justify.planning import make_outline, writing_prompt
from recommender.justify.style import Style
from recommender.justify.templates import Template, templates_of
from recommender.justify.writing_examples import simulated_evidence

#: share of the drafts that must pass; this many lines of a block stay in use whatever their share, for variety
ENOUGH, FEWEST = 0.9, 3
#: most pieces of evidence that are drawn for one trial: some kinds, such as evidence without influences, are rare
_MOST_DRAWS = 60


@dataclass(frozen=True)
class Trial:
    """A prompt that asks for one line of the language on one piece of evidence."""

    line: str
    evidence: Evidence
    prompt: str


def draw_trials(
    checker: ClaimChecker,
    histories: Sequence[np.ndarray],
    style: Style,
    drafts: int,
    random: np.random.Generator,
    companions: Companions | None = None,
) -> list[Trial]:
    """Return `drafts` trials of every line that can justify evidence from these histories."""
    usable = [history for history in histories if len(history) > 1]
    counts: Counter[str] = Counter()
    trials: list[Trial] = []
    fruitless_draws = 0
    while usable and fruitless_draws < _MOST_DRAWS * drafts:
        history = usable[int(random.integers(len(usable)))]
        evidence = simulated_evidence(checker.catalogue, history, random, companions)
        outline = make_outline(evidence, checker, style)
        by_line: dict[str, Template] = {}
        for template in templates_of(checker.catalogue, outline, style, int(random.integers(2**31))):
            by_line.setdefault(template.line, template)
        line = min(by_line, key=lambda name: counts[name])
        fruitless_draws += 1
        if counts[line] < drafts:
            counts[line] += 1
            prompt = writing_prompt(checker.catalogue, outline, style, by_line[line].cues)
            trials.append(Trial(line, evidence, prompt))
            fruitless_draws = 0
    return trials


def selected_templates(counts: Mapping[str, Sequence[int]]) -> frozenset[str]:
    """Return the lines whose drafts pass often enough, at least `FEWEST` of each block.

    `counts`: line -> number of drafts, number that passed.
    """
    blocks: defaultdict[str, list[str]] = defaultdict(list)
    for line in counts:
        blocks[line.partition(".")[0]].append(line)
    selected: set[str] = set()
    for lines in blocks.values():
        pass_rate = {line: counts[line][1] / max(counts[line][0], 1) for line in lines}
        ranked = sorted(lines, key=lambda line: -pass_rate[line])
        selected |= {line for place, line in enumerate(ranked) if place < FEWEST or pass_rate[line] >= ENOUGH}
    return frozenset(selected)
