"""Which templates_of a writer has learned well: a small model writes some lines of the language better than others.

Measured after training, on evidence from training histories, and kept with the checkpoint; whoever serves asks for the
lines that it masters. What it writes is checked all the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.justify.checker import ClaimChecker
from recommender.justify.evidence import Evidence
from recommender.justify.sentences import ask, outline
from recommender.justify.style import Style
from recommender.justify.templates import Template, templates_of
from recommender.justify.writing_examples import simulated_evidence

#: what the counts are called in a checkpoint's metrics
SELECTION = "templates_of"
#: share of the drafts that must pass, and lines of a kind that stay in use whatever they do, for variety
ENOUGH, FEWEST = 0.9, 3
#: evidence drawn for each draft at most: some kinds, such as none at all, are rare
_PATIENCE = 60


@dataclass(frozen=True)
class Trial:
    """One draft to be asked for: on this evidence, by this line."""

    line: str
    evidence: Evidence
    prompt: str


def draw_trials(
    checker: ClaimChecker, histories: Sequence[np.ndarray], style: Style, drafts: int, random: np.random.Generator
) -> list[Trial]:
    """Return `drafts` trials of every line that evidence from these histories can be told by."""
    usable = [history for history in histories if len(history) > 1]
    asked: Counter[str] = Counter()
    trials: list[Trial] = []
    idle = 0
    while usable and idle < _PATIENCE * drafts:
        evidence = simulated_evidence(checker.catalogue, usable[int(random.integers(len(usable)))], random)
        plan = outline(evidence, checker, style)
        found: dict[str, Template] = {}
        for wording in templates_of(checker.catalogue, plan, style, int(random.integers(2**31))):
            found.setdefault(wording.line, wording)
        line = min(found, key=lambda name: asked[name])
        idle += 1
        if asked[line] < drafts:
            asked[line] += 1
            trials.append(Trial(line, evidence, ask(checker.catalogue, plan, style, found[line].cues)))
            idle = 0
    return trials


def selected_templates(counts: Mapping[str, Sequence[int]]) -> frozenset[str]:
    """Return the lines of which enough drafts pass, at least `FEWEST` of each kind. `counts`: line -> asked, passed."""
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    for line in counts:
        kinds[line.partition(".")[0]].append(line)
    kept: set[str] = set()
    for lines in kinds.values():
        share = {line: counts[line][1] / max(counts[line][0], 1) for line in lines}
        best = sorted(lines, key=lambda line: -share[line])
        kept |= {line for place, line in enumerate(best) if place < FEWEST or share[line] >= ENOUGH}
    return frozenset(kept)
