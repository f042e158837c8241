"""From evidence to a justification: the LLM's sentence if it is true, else its second try under constraint, else a plain
one; and which of the three it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args

from recommender.data.catalogue import Catalogue
from recommender.justify.checker import ClaimChecker, Verdict
from recommender.justify.evidence import Evidence
from recommender.justify.item_names import display_name
from recommender.justify.sentences import ask, worded
from recommender.justify.style import ENGLISH, Style
from recommender.justify.templates import Outline, Template

#: a draft that passed, a second try that passed, a sentence that needs no language model
Source = Literal["model", "rewritten", "plain"]
SOURCES: tuple[Source, ...] = get_args(Source)


class Writer(Protocol):
    """Whatever answers user messages with one completion each."""

    def __call__(self, prompts: Sequence[str], names: Sequence[Sequence[str]] | None = None) -> list[str]:
        """`names`: for each prompt, the only texts that may stand within quotation marks."""
        ...


@dataclass(frozen=True)
class Justification:
    """A sentence that passed the check. `draft`: what the LLM wrote first ("" if it was not asked), `draft_verdict`: what
    the check said of it, `rewrite`: its second try, if there was one, `prompt`: what it was asked first, `reference`: a true
    sentence in the words that it was asked for."""

    text: str
    source: Source
    verdict: Verdict
    evidence: Evidence
    draft: str
    draft_verdict: Verdict
    rewrite: str | None = None
    prompt: str = ""
    reference: str = ""


def justify(
    catalogue: Catalogue, evidence: Sequence[Evidence], write: Writer | None, checker: ClaimChecker, style: Style
) -> list[Justification]:
    """Write one justification for each piece of evidence; all prompts go to the writer as one batch, and so do those
    that have to be written again. Without a writer, and in languages that it does not write, sentences are plain."""
    if not evidence:
        return []
    planned = [worded(one, checker, style) for one in evidence]
    if write is None or style.language != ENGLISH:
        return [spare(one, wording, checker, style) for one, (_, wording) in zip(evidence, planned, strict=True)]
    asked = [ask(catalogue, plan, style, wording.cues) for plan, wording in planned]
    drafts = write(asked)
    found = [
        judged(one, wording, draft, prompt, checker, style)
        for one, (_, wording), draft, prompt in zip(evidence, planned, drafts, asked, strict=True)
    ]
    found = [replace(one, reference=wording.text) for one, (_, wording) in zip(found, planned, strict=True)]
    return _again(catalogue, found, [plan for plan, _ in planned], write, checker, style)


def sources(reasons: Sequence[Justification]) -> dict[str, int]:
    """Count how many sentences are first drafts, second tries and plain ones."""
    counted = Counter(reason.source for reason in reasons)
    return {source: counted[source] for source in SOURCES}


def judged(
    evidence: Evidence, wording: Template, draft: str, prompt: str, checker: ClaimChecker, style: Style
) -> Justification:
    """Return the first sentence of a draft if it is true, else the plain one of `wording`."""
    sentence = checker.first_sentence(draft)
    verdict = checker.check(sentence, evidence, style.noun, style.size.words)
    if verdict.ok:
        return Justification(
            checker.named_exactly(sentence, evidence), "model", verdict, evidence, draft, verdict, prompt=prompt
        )
    return replace(spare(evidence, wording, checker, style), draft=draft, draft_verdict=verdict, prompt=prompt)


def spare(evidence: Evidence, wording: Template, checker: ClaimChecker, style: Style) -> Justification:
    """Return the plain sentence of `wording`."""
    verdict = Verdict(True)
    if style.language == ENGLISH:
        verdict = checker.check(wording.text, evidence, style.noun, style.size.words)
    return Justification(wording.text, "plain", verdict, evidence, "", Verdict(False, reason="not asked"))


def _again(
    catalogue: Catalogue,
    found: list[Justification],
    plans: Sequence[Outline],
    write: Writer,
    checker: ClaimChecker,
    style: Style,
) -> list[Justification]:
    """Have what failed written once more: only the names of the outline can be generated within quotation marks."""
    failed = [place for place, reason in enumerate(found) if reason.source == "plain"]
    if not failed:
        return found
    names = [[display_name(catalogue[i]) for i in (plans[p].item, *plans[p].others)] for p in failed]
    for place, text in zip(failed, write([found[p].prompt for p in failed], names), strict=True):
        sentence = checker.first_sentence(text)
        verdict = checker.check(sentence, found[place].evidence, style.noun, style.size.words)
        found[place] = replace(found[place], rewrite=text)
        if verdict.ok:
            exact = checker.named_exactly(sentence, found[place].evidence)
            found[place] = replace(found[place], text=exact, source="rewritten", verdict=verdict)
    return found
