"""From evidence to a justification: the LLM's draft if it is true, else its rewrite under constraint, else a plain one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args

from recommender.data.catalogue import Catalogue
from recommender.justify.checker import ClaimChecker
from recommender.justify.claims import Verdict
from recommender.justify.evidence import Evidence
from recommender.justify.item_names import display_name
from recommender.justify.planning import choose_template, writing_prompt
from recommender.justify.style import ENGLISH, Style
from recommender.justify.templates import Outline, Template

#: a draft that passed the check, a rewrite that passed it, a template that needs no language model
Source = Literal["model", "rewritten", "plain"]
SOURCES: tuple[Source, ...] = get_args(Source)
#: what holding a text to its names may mend; other faults would be written again
_NAME_FAULTS = frozenset(
    ("not a known name", "is named twice", "does not mention the recommended item", "names no item of the history")
)


class Writer(Protocol):
    """Answers each of several user messages with one completion."""

    def __call__(self, prompts: Sequence[str], names: Sequence[Sequence[str]] | None = None) -> list[str]:
        """`names`: for each prompt, the only texts that may stand within quotation marks."""
        ...


@dataclass(frozen=True)
class Justification:
    """A text that passed the check, and how it came about.

    `draft`: what the LLM wrote first ("" if it was not asked), `draft_verdict`: what the check found in it, `rewrite`:
    its second try, if there was one, `prompt`: the first prompt, `reference`: a true text with the same cues.
    """

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
    """Write one justification for each piece of evidence; all prompts go to the writer as one batch, and so do rewrites.

    Without a writer, and in languages that the model does not write, justifications are plain.
    """
    if not evidence:
        return []
    plans = [choose_template(item_evidence, checker, style) for item_evidence in evidence]
    if write is None or style.language != ENGLISH:
        pairs = zip(evidence, plans, strict=True)
        return [plain_justification(item_evidence, template, checker, style) for item_evidence, (_, template) in pairs]
    prompts = [writing_prompt(catalogue, outline, style, template.cues) for outline, template in plans]
    justifications = [
        replace(check_draft(item_evidence, template, draft, prompt, checker, style), reference=template.text)
        for item_evidence, (_, template), draft, prompt in zip(evidence, plans, write(prompts), prompts, strict=True)
    ]
    return _rewrite_failed(catalogue, justifications, [outline for outline, _ in plans], write, checker, style)


def sources(justifications: Sequence[Justification]) -> dict[str, int]:
    """Count how many justifications are first drafts, rewrites and plain ones."""
    counts = Counter(justification.source for justification in justifications)
    return {source: counts[source] for source in SOURCES}


def check_draft(
    evidence: Evidence, template: Template, draft: str, prompt: str, checker: ClaimChecker, style: Style
) -> Justification:
    """Return the first sentence of a draft if it is true, else the plain justification of `template`."""
    sentence = checker.first_sentence(draft)
    verdict = checker.check(sentence, evidence, style.noun, style.size.words)
    if verdict.ok:
        text, exact = checker.named_exactly(sentence, evidence, verdict)
        return Justification(text, "model", exact, evidence, draft, verdict, prompt=prompt)
    plain = plain_justification(evidence, template, checker, style)
    return replace(plain, draft=draft, draft_verdict=verdict, prompt=prompt)


def plain_justification(evidence: Evidence, template: Template, checker: ClaimChecker, style: Style) -> Justification:
    """Return the text of `template`, which needs no language model, as a justification."""
    verdict = Verdict(True)
    if style.language == ENGLISH:
        verdict = checker.check(template.text, evidence, style.noun, style.size.words)
    return Justification(template.text, "plain", verdict, evidence, "", Verdict(False, reason="not asked"))


def _rewrite_failed(
    catalogue: Catalogue,
    justifications: list[Justification],
    outlines: Sequence[Outline],
    write: Writer,
    checker: ClaimChecker,
    style: Style,
) -> list[Justification]:
    """Have drafts with wrong names written once more; only those of the outline can be generated within quotation marks."""
    failed = [n for n, justification in enumerate(justifications) if _has_wrong_names(justification)]
    if not failed:
        return justifications
    names = [[display_name(catalogue[i]) for i in (outlines[n].item, *outlines[n].others)] for n in failed]
    rewrites = write([justifications[n].prompt for n in failed], names)
    for n, text in zip(failed, rewrites, strict=True):
        evidence = justifications[n].evidence
        sentence = checker.first_sentence(text)
        verdict = checker.check(sentence, evidence, style.noun, style.size.words)
        justifications[n] = replace(justifications[n], rewrite=text)
        if verdict.ok:
            exact, told = checker.named_exactly(sentence, evidence, verdict)
            justifications[n] = replace(justifications[n], text=exact, source="rewritten", verdict=told)
    return justifications


def _has_wrong_names(justification: Justification) -> bool:
    """Whether a draft failed by its names; a second draft with the same words would fail as well where it did not."""
    wrong = [claim for claim in justification.draft_verdict.claims if not claim.true]
    return justification.source == "plain" and any(c.kind == "title" or c.reason in _NAME_FAULTS for c in wrong)
