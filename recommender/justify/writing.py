"""From evidence to a justification: the LLM's sentence if it is true, else the plain one, and which of the two it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from recommender.catalogue import Catalogue
from recommender.justify.claims import ClaimChecker, Verdict
from recommender.justify.evidence import Evidence
from recommender.justify.sentences import ask, plain

#: user messages -> one completion each
Writer = Callable[[Sequence[str]], list[str]]
_SENTENCE = re.compile(r"[^\n]*?[.!?](?=\s|$)")


@dataclass(frozen=True)
class Justification:
    """A sentence that passed the check. `draft`: what the LLM wrote, `draft_verdict`: what the check said of it."""

    text: str
    source: Literal["model", "plain"]
    verdict: Verdict
    evidence: Evidence
    draft: str
    draft_verdict: Verdict


def justify(
    catalogue: Catalogue, evidence: Sequence[Evidence], write: Writer, checker: ClaimChecker, noun: str = "items"
) -> list[Justification]:
    """Write one justification for each piece of evidence; all prompts go to the writer as one batch."""
    if not evidence:
        return []
    drafts = write([ask(catalogue, one, noun) for one in evidence])
    return [_checked(catalogue, one, draft, checker) for one, draft in zip(evidence, drafts, strict=True)]


def _checked(catalogue: Catalogue, evidence: Evidence, draft: str, checker: ClaimChecker) -> Justification:
    first = _SENTENCE.match(draft.strip())
    sentence = first.group(0) if first else draft.strip()
    verdict = checker.check(sentence, evidence)
    if verdict.ok:
        return Justification(sentence, "model", verdict, evidence, draft, verdict)
    spare = plain(catalogue, evidence)
    return Justification(spare, "plain", checker.check(spare, evidence), evidence, draft, verdict)
