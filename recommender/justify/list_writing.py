"""A list and its reasons in one generation: each line names the item that comes next, and says why in free words."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence

from recommender import prompts
from recommender.constraints.text_constraint import TextConstraint
from recommender.justify.checker import ClaimChecker
from recommender.justify.evidence import Evidence
from recommender.justify.item_names import display_name
from recommender.justify.sentences import ask, worded
from recommender.justify.style import ENGLISH, Style
from recommender.justify.writing import Justification, judged, spare

ListWriter = Callable[[str, TextConstraint], Iterator[str]]


def written_list(
    evidence: Sequence[Evidence],
    write: ListWriter,
    can_spell: Callable[[str], bool],
    checker: ClaimChecker,
    style: Style,
) -> Iterator[Justification]:
    """Yield a justification for each piece of evidence, in order, as the lines of one text come.

    `can_spell`: whether the writer's tokens can spell a text; names that they cannot are written without accents. A line
    that is not true gives way to a plain sentence; languages that the writer does not write have only those.
    """
    if not evidence:
        return
    catalogue = checker.catalogue
    planned = [worded(one, checker, style) for one in evidence]
    if style.language != ENGLISH:
        yield from (spare(one, wording, checker, style) for one, (_, wording) in zip(evidence, planned, strict=True))
        return
    asked = [ask(catalogue, plan, style, wording.cues) for plan, wording in planned]
    prompt = prompts.render_block("list", "ask", asked=asked)
    others = {display_name(catalogue[i]) for plan, _ in planned for i in plan.others}
    items = [_spelled(display_name(catalogue[one.item]), can_spell) for one in evidence]
    lines = write(prompt, TextConstraint(tuple(sorted(filter(can_spell, others))), tuple(items)))
    for one, (_, wording), line in zip(evidence, planned, lines, strict=False):
        yield judged(one, wording, line, prompt, checker, style)


def _spelled(name: str, can_spell: Callable[[str], bool]) -> str:
    if can_spell(name):
        return name
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return plain if can_spell(plain) else plain.encode("ascii", "ignore").decode().strip() or "It"
