"""A list and its justifications in one generation: each line names the next item, and justifies it in free words."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence

from recommender import prompts
from recommender.constraints.text_constraint import TextConstraint
from recommender.justify.checker import ClaimChecker
from recommender.justify.evidence import Evidence
from recommender.justify.item_names import display_name
from recommender.justify.planning import choose_template, writing_prompt
from recommender.justify.style import ENGLISH, Style
from recommender.justify.writing import Justification, check_draft, plain_justification

#: (prompt, constraint) -> the lines of the generated text, as they come
ListWriter = Callable[[str, TextConstraint], Iterator[str]]


def written_list(
    evidence: Sequence[Evidence],
    write: ListWriter,
    can_spell: Callable[[str], bool],
    checker: ClaimChecker,
    style: Style,
) -> Iterator[Justification]:
    """Yield a justification for each piece of evidence, in order, as the lines of one text come.

    `can_spell`: whether the writer's tokens can spell a text; other names are written without accents. A line that is
    not true is replaced by a plain justification; languages that the model does not write have only those.
    """
    if not evidence:
        return
    catalogue = checker.catalogue
    plans = [choose_template(item_evidence, checker, style) for item_evidence in evidence]
    if style.language != ENGLISH:
        for item_evidence, (_, template) in zip(evidence, plans, strict=True):
            yield plain_justification(item_evidence, template, checker, style)
        return
    requests = [writing_prompt(catalogue, outline, style, template.cues) for outline, template in plans]
    prompt = prompts.render_block("list", "ask", asked=requests)
    history_names = {display_name(catalogue[i]) for outline, _ in plans for i in outline.others}
    item_names = [_spelled(display_name(catalogue[item_evidence.item]), can_spell) for item_evidence in evidence]
    lines = write(prompt, TextConstraint(tuple(sorted(filter(can_spell, history_names))), tuple(item_names)))
    for item_evidence, (_, template), line in zip(evidence, plans, lines, strict=False):
        yield check_draft(item_evidence, template, line, prompt, checker, style)


def _spelled(name: str, can_spell: Callable[[str], bool]) -> str:
    if can_spell(name):
        return name
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return plain if can_spell(plain) else plain.encode("ascii", "ignore").decode().strip() or "It"
