"""From evidence to a justification: the LLM's sentence if it is true, else the plain one, and which of the two it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from recommender.catalogue import Catalogue
from recommender.justify.claims import ClaimChecker, Verdict
from recommender.justify.evidence import Evidence
from recommender.justify.sentences import ask, outline, plain

#: user messages -> one completion each
Writer = Callable[[Sequence[str]], list[str]]


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
    catalogue: Catalogue,
    evidence: Sequence[Evidence],
    write: Writer,
    checker: ClaimChecker,
    noun: str = "items",
) -> list[Justification]:
    """Write one justification for each piece of evidence; all prompts go to the writer as one batch.

    `noun`: what is recommended, in the plural (films, books, songs); it decides whether people watched, read or chose.
    """
    if not evidence:
        return []
    drafts = write([ask(catalogue, outline(one, checker), noun) for one in evidence])
    return [_checked(one, draft, checker, noun) for one, draft in zip(evidence, drafts, strict=True)]


def _checked(evidence: Evidence, draft: str, checker: ClaimChecker, noun: str) -> Justification:
    sentence = checker.first_sentence(draft)
    verdict = checker.check(sentence, evidence, noun)
    if verdict.ok:
        return Justification(sentence, "model", verdict, evidence, draft, verdict)
    spare = plain(evidence, checker, noun)
    return Justification(spare, "plain", checker.check(spare, evidence, noun), evidence, draft, verdict)
