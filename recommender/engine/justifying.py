"""How an engine justifies: evidence by deletion, sentences by its writer, each checked before anybody sees it."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from recommender.constraints.text_constraint import TextConstraint, token_pieces
from recommender.data.catalogue import Catalogue
from recommender.engine.background import check_stop
from recommender.engine.feedback_policy import FeedbackPolicy
from recommender.engine.ranking import NO_OVERRIDES
from recommender.engine.requests import RankedItem
from recommender.engine.setup import EngineSetup
from recommender.justify import Claim, Evidence, Justification, find_evidence, justify, written_list
from recommender.justify.caveat import Caveat, caveat_text, find_caveat
from recommender.justify.domain_style import style_about
from recommender.justify.media_remarks import MediaRemark, ScoreWithout, find_remarks, remark_text
from recommender.justify.query_answer import QueryAnswer, answer_query
from recommender.justify.style import Style
from recommender.prompting.example import VectorOverrides

ScoreItems = Callable[[Sequence[np.ndarray], Sequence[int]], np.ndarray]
"""Histories of catalogue indices and items -> log-probabilities [histories, items]."""


@dataclass(frozen=True)
class MediaRemarks:
    """What one item's media add to its score and show, and the sentences that say so; both may be empty."""

    remarks: tuple[MediaRemark, ...] = ()
    text: str = ""

    def as_evidence(self, catalogue: Catalogue) -> dict[str, Any]:
        """Return the remarks as data that JSON can hold, under the name that evidence has for them."""
        media = [
            {
                "modality": remark.modality,
                "effect": round(remark.effect, 4),
                "labels": [{"label": label.name, "confidence": label.confidence} for label in remark.labels],
                "items": [catalogue[item].item_id for item in remark.items],
            }
            for remark in self.remarks
        ]
        return {"media": media} if media else {}


NO_REMARKS = MediaRemarks()


class TextWriter(Protocol):
    """What only an engine can do: write with the language model."""

    #: whether the language model writes; where it does not, sentences are plain
    writes: bool

    def write(
        self,
        prompts: Sequence[str],
        names: Sequence[Sequence[str]] | None = None,
        stop: threading.Event | None = None,
    ) -> list[str]:
        """Answer user messages, one text each; `names`: the only texts that may stand within quotation marks."""
        ...

    def write_list(self, prompt: str, constraint: TextConstraint, stop: threading.Event | None = None) -> Iterator[str]:
        """Answer a user message with a list that is held to its items; yields each line as it is written."""
        ...


class Justifier:
    """Finds what drove a recommendation, has it written down, and checks every claim."""

    def __init__(self, setup: EngineSetup, writer: TextWriter, policy: FeedbackPolicy) -> None:
        """`writer`: the engine; `policy`: facts that people called wrong are not told again."""
        self.setup, self.writer, self.policy = setup, writer, policy

    def evidence(
        self, history: np.ndarray, items: Sequence[int], score: ScoreItems, user: str | None = None
    ) -> list[Evidence]:
        """Measure what each history item adds to the scores of `items`, and which facts they share.

        What `user` said is not for them is no reason. Raises AbandonedError if nobody waits for it any more.
        """
        config, catalogue = self.setup.config.justify, self.policy.checker().catalogue
        return find_evidence(
            catalogue,
            history,
            items,
            score,
            config.window,
            max(config.evidence, self.setup.style.size.named, self.policy.taste(user).most_named),
            config.shapley_samples,
            check_stop,
            companions=self.setup.companions,
            disliked=self.policy.refused(user),
        )

    def remarks(
        self,
        evidence: Sequence[Evidence],
        history: np.ndarray,
        score: ScoreWithout,
        overrides: VectorOverrides = NO_OVERRIDES,
    ) -> list[MediaRemarks]:
        """Return what may be said of each item's media. `overrides`: vectors that a request brings for its history."""
        labels, style = self.setup.labels, self.setup.style
        if labels is None or not self.setup.config.justify.media:
            return [MediaRemarks()] * len(evidence)
        replaced = {(item, modality) for item, own in overrides.items() for modality in own}
        found = find_remarks(labels, evidence, history.tolist(), score, replaced)
        return [MediaRemarks(remarks, remark_text(remarks, self.setup.catalogue, style)) for remarks in found]

    def styles(self, items: Sequence[int], user: str | None) -> list[Style]:
        """Return the style in which each item is explained: as configured, and as this person found helpful before."""
        taste = self.policy.taste(user)
        return [taste.style(self.setup.style, int(item)) for item in items]

    def caveats(
        self, history: np.ndarray, items: Sequence[int], user: str | None = None
    ) -> list[tuple[Caveat, str] | None]:
        """Return how each item is unlike the history, and the sentence that says so; None where it is not, and where
        the justification is not detailed."""
        catalogue, told = self.policy.checker().catalogue, []
        for item, style in zip(items, self.styles(items, user), strict=True):
            caveat = find_caveat(catalogue, item, history.tolist()) if style.length == "detailed" else None
            told.append(None if caveat is None else (caveat, caveat_text(caveat, style)))
        return told

    def query_answers(self, query: str | None, items: Sequence[int]) -> list[QueryAnswer | None]:
        """Return which part of a query each item meets, and which not."""
        checker = self.policy.checker()
        return answer_query(query, items, checker, self.setup.style) if query else [None] * len(items)

    def justify(
        self, evidence: Sequence[Evidence], user: str | None = None, stop: threading.Event | None = None
    ) -> list[Justification]:
        """Write a checked sentence for each piece of evidence, all together."""
        write = partial(self.writer.write, stop=stop) if self.writer.writes else None
        checker, styles = self.policy.checker(), self.styles([one.item for one in evidence], user)
        styles = [style_about(style, checker.catalogue, one) for style, one in zip(styles, evidence, strict=True)]
        justifications: dict[int, Justification] = {}
        alike: defaultdict[tuple[str, str, tuple[str, ...]], list[int]] = defaultdict(list)
        for number, style in enumerate(styles):
            alike[style.noun, style.length, style.prefers].append(number)
        for numbers in alike.values():  # those of one style are written together
            chosen = [evidence[number] for number in numbers]
            written = justify(checker.catalogue, chosen, write, checker, styles[numbers[0]])
            justifications |= dict(zip(numbers, written, strict=True))
        return [justifications[n] for n in range(len(evidence))]

    def stream(
        self,
        evidence: Sequence[Evidence],
        user: str | None = None,
        stop: threading.Event | None = None,
        together: int = 1,
    ) -> Iterator[Justification]:
        """Yield a checked sentence for each piece of evidence, in order; `together`: how many are written at once.

        Ends early once `stop` is set.
        """
        for start in range(0, len(evidence), max(together, 1)):
            justifications = self.justify(evidence[start : start + max(together, 1)], user, stop)
            if stop is not None and stop.is_set():
                return
            yield from justifications

    def stream_list(
        self, evidence: Sequence[Evidence], user: str | None = None, stop: threading.Event | None = None
    ) -> Iterator[Justification]:
        """Yield a checked sentence for each piece of evidence, all of them written in one generation.

        Where the text names an item it is held to the next one of the list, which came out of the trie; what it says of it
        is free, and checked before it is yielded. Ends early once `stop` is set.
        """
        write = partial(self.writer.write_list, stop=stop)
        can_spell = token_pieces(self.setup.builder.tokenizer).can_spell
        checker, styles = self.policy.checker(), self.styles([one.item for one in evidence[:1]], user)
        style = styles[0] if styles else self.setup.style  # one text has one style
        return written_list(evidence, write, can_spell, checker, style)


def with_justification(
    item: RankedItem,
    justification: Justification,
    catalogue: Catalogue,
    trace: bool,
    answer: QueryAnswer | None = None,
    remarks: MediaRemarks = NO_REMARKS,
    caveat: tuple[Caveat, str] | None = None,
) -> RankedItem:
    """Return a ranked item with its justification, behind an answer to what was asked for, if anything was.

    `trace`: with how it was written, for a decision trace. `remarks`: what its media show. `caveat`, and its sentence.
    """
    opening = f"{answer.text} " if answer is not None else ""
    evidence = evidence_as_dict(justification, catalogue, len(opening)) | remarks.as_evidence(catalogue)
    text = opening + " ".join(filter(None, (justification.text, remarks.text, caveat[1] if caveat else "")))
    if caveat is not None:
        evidence["caveat"] = asdict(caveat[0])
    if answer is not None:
        evidence["query"] = {"met": list(map(asdict, answer.met)), "missed": list(map(asdict, answer.missed))}
    if trace:
        evidence["writing"] = {
            "prompt": justification.prompt,
            "draft": justification.draft,
            "draft_passes": justification.draft_verdict.ok,
            "wrong_with_it": justification.draft_verdict.reason,
            "rewrite": justification.rewrite,
        }
    return replace(item, justification=text, written_by=justification.source, evidence=evidence)


def evidence_as_dict(justification: Justification, catalogue: Catalogue, offset: int = 0) -> dict[str, Any]:
    """Return evidence and checks as data that JSON can hold, with item ids instead of indices.

    `offset`: characters that stand before the justification in the text that is shown.
    """
    evidence = justification.evidence
    companions = [{"item_id": catalogue[i].item_id, "people": count} for i, count in evidence.companions]
    return {
        "influences": [
            {"item_id": catalogue[i.item].item_id, "title": catalogue[i.item].title, "effect": round(i.effect, 4)}
            for i in evidence.influences
        ],
        "shared": [
            {"name": fact.name, "value": fact.value, "items": [catalogue[i].item_id for i in fact.items]}
            for fact in evidence.shared
        ],
        "passages": [
            {"text": passage.value, "items": [catalogue[i].item_id for i in passage.items]}
            for passage in evidence.passages
        ],
        **({"companions": companions} if companions else {}),
        "claims": [_claim_as_dict(c, justification.text, catalogue, offset) for c in justification.verdict.claims],
    }


def _claim_as_dict(claim: Claim, text: str, catalogue: Catalogue, offset: int) -> dict[str, Any]:
    """Return a claim as data; `start` and `end` are null for one of the whole sentence, `fact` for one of no attribute."""
    placed = claim.end > claim.start
    return {
        "kind": claim.kind,
        "text": text[claim.start : claim.end] if placed else claim.text,
        "true": claim.true,
        "start": claim.start + offset if placed else None,
        "end": claim.end + offset if placed else None,
        "items": [catalogue[item].item_id for item in claim.items],
        "fact": None if claim.fact is None else {"name": claim.fact[0], "value": claim.fact[1]},
    }
