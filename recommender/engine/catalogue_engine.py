"""What all engines share: a request checked against the catalogue, a ranked list with its notes, reasons that are true.

An engine adds three things: how prompts are ranked, how given items are scored, and how sentences are written.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from recommender.config import Config, Modality
from recommender.constraints.text_constraint import TextConstraint, token_pieces
from recommender.data.catalogue import Catalogue
from recommender.data.cleaning import is_blank
from recommender.encoders.features import Features
from recommender.engine.feedback_policy import FeedbackPolicy
from recommender.engine.filters import matching
from recommender.engine.query_scorer import QueryScorerCache
from recommender.engine.request_vectors import vector_overrides
from recommender.engine.requests import RankedItem, Request, Response, request
from recommender.errors import RecommenderError
from recommender.fusion.stored import StoredFusion
from recommender.inference.beam_search import Ranking
from recommender.justify import ClaimChecker, Evidence, Justification, Style, find_evidence, justify, written_list
from recommender.numerics.vectors import unit_rows
from recommender.prompting.builder import ExampleBuilder
from recommender.prompting.example import Example, VectorOverrides, clean


class CatalogueEngine(ABC):
    """Answers requests over one catalogue.

    `at_once`: how many requests gain from being ranked together; `parallel`: how many such groups may be under way;
    `written_at_once`: how many sentences are written together while reasons are streamed.
    """

    name = ""
    #: whether the language model writes; where it does not, sentences are plain
    writes = True
    #: where the model was loaded from, and the sha256 of each of its files
    source = ""
    files: Mapping[str, str] = MappingProxyType({})
    at_once = 1
    parallel = 1
    written_at_once = 4

    def __init__(
        self,
        catalogue: Catalogue,
        config: Config,
        builder: ExampleBuilder,
        features: Features,
        fusion: StoredFusion | None = None,
    ) -> None:
        """Answer for this catalogue with these prompts and vectors; `fusion`: the baselines that rank along."""
        self.catalogue, self.config, self.builder, self.fusion = catalogue, config, builder, fusion
        self.features = features
        self.style = Style.of(config.prompt, config.justify)
        self.checker = ClaimChecker(catalogue, self.style.phrases)
        self.feedback_policy = FeedbackPolicy(self.checker, config.justify.wrong_votes)
        self._query_scorers = QueryScorerCache()

    @property
    def vectors(self) -> np.ndarray | None:
        """The vectors [items, width] of the items' texts, by which they are alike; None where there are none."""
        return self.features.vectors.get("text")

    @abstractmethod
    def rank_prompts(self, prompts: Sequence[Example], k: int, allowed: torch.Tensor) -> list[Ranking]:
        """Return the best `k` allowed items of each prompt; `allowed` bool [prompts, items]."""

    @abstractmethod
    def score_prompts(self, prompts: Sequence[Example], candidates: Sequence[int]) -> np.ndarray:
        """Return exact log-probabilities [prompts, candidates]."""

    @abstractmethod
    def write(
        self,
        prompts: Sequence[str],
        names: Sequence[Sequence[str]] | None = None,
        stop: threading.Event | None = None,
    ) -> list[str]:
        """Answer user messages with the writing adapter, greedily, one text each; texts are cut short once `stop` is set.

        `names`: for each message, the only texts that may stand within quotation marks.
        """

    @abstractmethod
    def write_list(self, prompt: str, constraint: TextConstraint, stop: threading.Event | None = None) -> Iterator[str]:
        """Answer a user message with a list that is held to its items; yields each line as it is written, all of them in
        one generation. Ends early once `stop` is set."""

    def addresses(self) -> dict[str, str]:
        """Where the servers are that compute for it: what each does -> its address."""
        return {}

    def adapters(self) -> tuple[str, ...]:
        """The names of the ranking adapters that `with_adapter` knows at the moment, beside the engine's own."""
        return ()

    def with_adapter(self, adapter: str) -> CatalogueEngine:
        """Return this engine with another ranking adapter of `adapters`."""
        raise RecommenderError(f"the {self.name} engine has no adapter {adapter!r}")

    def is_alive(self) -> bool:
        """Whether what computes is there."""
        return True

    def close(self) -> None:
        """Let go of what the engine holds outside this process."""
        return

    def recommend(self, history: Sequence[str], k: int = 10, **options: Any) -> list[RankedItem]:
        """Return the `k` best items for a history of item ids, oldest first; options are the fields of Request."""
        return list(self.answer(request(history=tuple(history), k=k, **options)).items)

    def answer(self, request: Request) -> Response:
        """Rank, and explain if asked to. Raises RecommenderError for unknown ids and for a k that cannot be met."""
        answered = self.answer_many([request])[0]
        if isinstance(answered, RecommenderError):
            raise answered
        return answered

    def answer_many(self, requests: Sequence[Request]) -> list[Response | RecommenderError]:
        """Answer requests together; one that cannot be met gets its error in its own place."""
        prepared = [self._prepared(one) for one in requests]
        answers = {n: one for n, one in enumerate(prepared) if isinstance(one, RecommenderError)}
        groups: defaultdict[tuple[int, bool, bool], list[int]] = defaultdict(list)
        for number, one in enumerate(requests):
            if number not in answers:  # the beam's width decides what is found, so only equal widths go together
                width = max(one.k, self.config.decoding.beam)
                groups[width, self.fused(one), self.scores_query(one.query)].append(number)
        result: dict[int, Response | RecommenderError] = dict(answers)
        for (_, fused, queried), members in groups.items():
            asked = [(requests[n], *prepared[n]) for n in members]  # type: ignore[misc]
            result |= dict(zip(members, self._answered(asked, fused, queried), strict=True))
        return [result[number] for number in range(len(requests))]

    def _prepared(self, request: Request) -> tuple[np.ndarray, torch.Tensor, Example] | RecommenderError:
        if request.fused and self.fusion is None:
            return _nothing_to_fuse()
        try:
            history = self.catalogue.indices(request.history)
            prompt = self.prompts([history], request.query, self.overrides(request))[0]
            return history, self.allowed(request, history), prompt
        except RecommenderError as error:
            return error

    def overrides(self, request: Request) -> VectorOverrides:
        """Return the vectors that a request brings. Raises RecommenderError for those that do not fit."""
        return vector_overrides(request, self.catalogue, self.features)

    def prompts(self, histories: Sequence[np.ndarray], query: str | None, overrides: VectorOverrides) -> list[Example]:
        """Return what the model reads for these histories."""
        prompts = [self.builder.prompt(history, query) for history in histories]
        return [replace(prompt, overrides=overrides) for prompt in prompts] if overrides else prompts

    def _answered(
        self, asked: Sequence[tuple[Request, np.ndarray, torch.Tensor, Example]], fused: bool, queried: bool
    ) -> list[Response]:
        prompts = [prompt for _, _, _, prompt in asked]
        allowed = torch.stack([allowed for _, _, allowed, _ in asked])
        most = max(one.k for one, _, _, _ in asked)
        if fused or queried:
            histories, queries = [history for _, history, _, _ in asked], [one.query for one, _, _, _ in asked]
            rankings = self._rank_scored(prompts, histories, most, allowed, queries, fused)
        else:
            rankings = self.rank_prompts(prompts, most, allowed)
        answers = []
        for (one, _, _, prompt), ranking in zip(asked, rankings, strict=True):
            best = zip(ranking.items[: one.k], ranking.scores[: one.k], strict=True)
            items = [self._ranked(rank, int(item), float(score)) for rank, (item, score) in enumerate(best, 1)]
            if one.explain:
                items = list(self.stream_justifications(one, items, together=True))
            answers.append(Response(tuple(items), self._notes(one, self.builder.shown(prompt))))
        return answers

    def stream_justifications(
        self,
        request: Request,
        items: Sequence[RankedItem],
        stop: threading.Event | None = None,
        together: bool = False,
    ) -> Iterator[RankedItem]:
        """Yield the items of a request's answer with their reasons, in order, as sentences are written and checked.

        Ends early once `stop` is set. `together`: write all sentences at once, which is faster, but the first one later.
        """
        history = self.catalogue.indices(request.history)
        places = [self.catalogue.index(item.item_id) for item in items]
        evidence = self._evidence(history, places, request.query, self.overrides(request))
        size = len(items) if together else self.written_at_once
        for start in range(0, len(items), max(size, 1)):
            part = evidence[start : start + size]
            found = self._justified(part, stop, request.user)
            if stop is not None and stop.is_set():
                return
            for item, reason in zip(items[start : start + size], found, strict=True):
                yield self._explained(item, reason, request.trace)

    def stream_justified_list(
        self, request: Request, items: Sequence[RankedItem], stop: threading.Event | None = None
    ) -> Iterator[RankedItem]:
        """Yield the items of a request's answer with their reasons, all of them written in one generation.

        Where the text names an item it is held to the next one of the list, which came out of the trie; what it says of
        it is free, and checked before it is yielded. Ends early once `stop` is set.
        """
        if not self.writes:
            yield from self.stream_justifications(request, items, stop)
            return
        history, places = self.catalogue.indices(request.history), [self.catalogue.index(i.item_id) for i in items]
        evidence = self._evidence(history, places, request.query, self.overrides(request))
        write = partial(self.write_list, stop=stop)
        spell = token_pieces(self.builder.tokenizer).can_spell
        checker, style = self.feedback_policy.checker(), self.feedback_policy.style(self.style, request.user)
        for item, reason in zip(items, written_list(evidence, write, spell, checker, style), strict=False):
            yield self._explained(item, reason, request.trace)

    def rank(
        self,
        histories: Sequence[np.ndarray],
        k: int,
        allowed: torch.Tensor | None = None,
        query: str | None = None,
        fused: bool = False,
        overrides: VectorOverrides = MappingProxyType({}),
    ) -> list[Ranking]:
        """Rank for histories of catalogue indices; `allowed` bool [histories, items], by default all but the seen.

        `fused`: together with the baselines that lie in the checkpoint. Then all items are scored, not a beam; where a query
        is heard likewise, but with several levels only what a beam finds and as many that are like the query.
        """
        if allowed is None:
            allowed = torch.stack([self._unseen(history) for history in histories])
        prompts = self.prompts(histories, query, overrides)
        if fused or self.scores_query(query):
            return self._rank_scored(prompts, histories, k, allowed, [query] * len(prompts), fused)
        return self.rank_prompts(prompts, k, allowed)

    def _rank_scored(
        self,
        prompts: Sequence[Example],
        histories: Sequence[np.ndarray],
        k: int,
        allowed: torch.Tensor,
        queries: Sequence[str | None],
        fused: bool,
    ) -> list[Ranking]:
        if fused and self.fusion is None:
            raise _nothing_to_fuse()
        if not fused and self.builder.code_tokens.shape[1] > 1:
            return self._rank_for_query(prompts, k, allowed, queries)
        own = self._joined(self.score_prompts(prompts, range(len(self.catalogue))), histories, queries, fused)
        scores = torch.from_numpy(own).masked_fill(~allowed.cpu(), -torch.inf)
        best, items = scores.topk(min(k, scores.shape[1]))
        return [Ranking(i[s > -torch.inf].numpy(), s[s > -torch.inf].numpy()) for s, i in zip(best, items, strict=True)]

    def _rank_for_query(
        self, prompts: Sequence[Example], k: int, allowed: torch.Tensor, queries: Sequence[str | None]
    ) -> list[Ranking]:
        """Rank what the beam finds and as many items that are like the query.

        To score every item exactly takes a beam as wide as the catalogue once there are several levels.
        """
        width = max(k, self.config.decoding.beam)
        found = zip(prompts, self.rank_prompts(prompts, width, allowed), allowed.cpu().numpy(), queries, strict=True)
        return [self._widened(prompt, beam, row, self.gains(query), width, k) for prompt, beam, row, query in found]

    def _widened(
        self, prompt: Example, beam: Ranking, allowed: np.ndarray, gains: np.ndarray | None, width: int, k: int
    ) -> Ranking:
        """Return the `k` best of a beam and of the `width` allowed items that a query raises most."""
        if gains is None:
            return Ranking(beam.items[:k], beam.scores[:k])
        scores = dict(zip(beam.items.tolist(), beam.scores.tolist(), strict=True))
        permitted = np.flatnonzero(allowed)
        likely = permitted[np.argsort(-gains[permitted], kind="stable")[:width]].tolist()
        if others := [item for item in likely if item not in scores]:
            scores |= dict(zip(others, self.score_prompts([prompt], others)[0].tolist(), strict=True))
        items = np.array(list(scores), dtype=np.int64)
        total = np.array(list(scores.values()), dtype=np.float32) + gains[items]
        best = np.argsort(-total, kind="stable")[:k]
        return Ranking(items[best], total[best])

    def _joined(
        self, own: np.ndarray, histories: Sequence[np.ndarray], queries: Sequence[str | None], fused: bool
    ) -> np.ndarray:
        """Return what ranks, [histories, items]: the language model's scores with what queries add, fused with
        baselines'."""
        gains = {query: gain for query in dict.fromkeys(queries) if (gain := self.gains(query)) is not None}
        if gains:
            own = np.stack([row + gains.get(query, 0.0) for row, query in zip(own, queries, strict=True)])
        return self.fusion.scores(own, histories) if fused and self.fusion is not None else own

    def scores_query(self, query: str | None) -> bool:
        """Return whether a query raises what is written of as it says, beside being read by the language model."""
        return (
            bool(self._query_text(query)) and self._query_scorers(self.features, self.config.encoders.text) is not None
        )

    def gains(self, query: str | None) -> np.ndarray | None:
        """Return float32 [items]: the nats that a query adds to the language model's score of each; None if not heard."""
        heard = (
            self._query_scorers(self.features, self.config.encoders.text) if (said := self._query_text(query)) else None
        )
        return None if heard is None else self.config.decoding.query_weight * heard.likeness(said)

    def _query_text(self, query: str | None) -> str:
        """Return what a query says, empty where it says nothing or is not to rank."""
        said = clean(query, self.builder.tokenizer) if query and self.config.decoding.query_weight else ""
        return "" if is_blank(said) else said

    def fused(self, request: Request) -> bool:
        """Return whether baselines rank along in the answer to a request."""
        return self.fusion is not None and (self.config.decoding.fused if request.fused is None else request.fused)

    def score(
        self,
        histories: Sequence[np.ndarray],
        candidates: Sequence[int],
        query: str | None = None,
        overrides: VectorOverrides = MappingProxyType({}),
    ) -> np.ndarray:
        """Return exact log-probabilities [histories, candidates]; `overrides`: vectors in the place of the items' own."""
        return self.score_prompts(self.prompts(histories, query, overrides), candidates)

    def score_all(
        self,
        histories: Sequence[np.ndarray],
        query: str | None = None,
        fused: bool | None = None,
        overrides: VectorOverrides = MappingProxyType({}),
    ) -> np.ndarray:
        """Return the scores [histories, items] by which the whole catalogue is ranked; `fused`: as in a request."""
        if fused and self.fusion is None:
            raise _nothing_to_fuse()
        own = self.score(histories, range(len(self.catalogue)), query, overrides)
        wanted = bool(fused) if self.fusion is None or fused is not None else self.config.decoding.fused
        return self._joined(own, histories, [query] * len(own), wanted)

    def similar_items(self, item: int, count: int) -> list[int]:
        """Return the `count` items most like one in their texts, itself left out; none where the engine has no vectors."""
        if self.vectors is None:
            return []
        unit = unit_rows(self.vectors)
        order = np.argsort(-(unit @ unit[item]), kind="stable")
        return [int(other) for other in order[: count + 1] if other != item][:count]

    def explain(
        self, history: np.ndarray, items: Sequence[int], query: str | None = None, user: str | None = None
    ) -> list[Justification]:
        """Find what drove each item, have the LLM write a sentence from it, and check the sentence."""
        return self._justified(self._evidence(history, items, query, {}), user=user)

    def contributions(
        self,
        history: np.ndarray,
        items: Sequence[int],
        query: str | None = None,
        overrides: VectorOverrides = MappingProxyType({}),
    ) -> dict[Modality, np.ndarray]:
        """Return each modality's effect on each item's score [items], where the engine can leave one out; else none."""
        return {}

    def _evidence(
        self, history: np.ndarray, items: Sequence[int], query: str | None, overrides: VectorOverrides
    ) -> list[Evidence]:
        config = self.config.justify
        score, most = partial(self.score, query=query, overrides=overrides), max(config.evidence, self.style.size.named)
        orders = config.shapley_samples
        catalogue = self.feedback_policy.checker().catalogue
        return find_evidence(catalogue, history, items, score, config.window, most, orders)

    def _justified(
        self, evidence: Sequence[Evidence], stop: threading.Event | None = None, user: str | None = None
    ) -> list[Justification]:
        write = partial(self.write, stop=stop) if self.writes else None
        checker, style = self.feedback_policy.checker(), self.feedback_policy.style(self.style, user)
        return justify(checker.catalogue, evidence, write, checker, style)

    def _unseen(self, history: np.ndarray) -> torch.Tensor:
        allowed = torch.ones(len(self.catalogue), dtype=torch.bool)
        allowed[torch.from_numpy(np.asarray(history, dtype=np.int64))] = False
        return allowed

    def allowed(self, request: Request, history: np.ndarray) -> torch.Tensor:
        """Return bool [items]: what may be recommended. Raises RecommenderError if that is less than the request's k."""
        allowed = self._unseen(history)
        if request.only is not None:
            chosen = torch.zeros_like(allowed)
            chosen[torch.from_numpy(self.catalogue.indices(request.only))] = True
            allowed &= chosen
        if request.filters:
            allowed &= torch.from_numpy(matching(self.catalogue, request.filters))
        allowed[torch.from_numpy(self.catalogue.indices(request.exclude))] = False
        allowed[self.feedback_policy.refused(request.user)] = False
        most = int(allowed.sum())
        if request.k > most:
            raise RecommenderError(
                f"k is {request.k}, but only {most} of the catalogue's {len(self.catalogue)} items may be recommended",
                f"set k to {most} or less" if most else "allow more items",
            )
        return allowed

    def _notes(self, request: Request, shown: int) -> tuple[str, ...]:
        notes = []
        if request.explain and not self.writes:
            notes.append(
                "the sentences are plain: the writing adapter was trained on other prompts (train its stage again)"
            )
        if self.fused(request) and self.fusion is not None:
            notes.append(f"ranked together with {' and '.join(self.fusion.baselines)}")
        if self.scores_query(request.query):
            notes.append("ranked by the query as well: by how like it the items' texts are")
        elif self._query_text(request.query):
            notes.append(f"the query was read by the language model alone: {self._query_scorers.unavailable_reason}")
        if refused := self.feedback_policy.refused(request.user):
            notes.append(f"left out, because they are not for this person: {len(refused)}")
        if not request.history:
            notes.append("no history: these are what a new person is most likely to start with")
        if len(request.history) > shown:
            notes.append(f"the history was cut to its last {shown} items")
        return tuple(notes)

    def _ranked(self, rank: int, item: int, score: float) -> RankedItem:
        entry = self.catalogue[item]
        return RankedItem(rank, entry.item_id, entry.title, score)

    def _explained(self, item: RankedItem, reason: Justification, trace: bool) -> RankedItem:
        evidence = evidence_as_dict(reason, self.catalogue)
        if trace:
            evidence["writing"] = {
                "prompt": reason.prompt,
                "draft": reason.draft,
                "draft_passes": reason.draft_verdict.ok,
                "wrong_with_it": reason.draft_verdict.reason,
                "rewrite": reason.rewrite,
            }
        return replace(item, justification=reason.text, written_by=reason.source, evidence=evidence)


def _nothing_to_fuse() -> RecommenderError:
    return RecommenderError("the checkpoint holds nothing to fuse with", "give it some: recommender fuse")


def evidence_as_dict(reason: Justification, catalogue: Catalogue) -> dict[str, Any]:
    """Return evidence and checks as data that JSON can hold, with item ids instead of indices."""
    evidence = reason.evidence
    return {
        "influences": [
            {"item_id": catalogue[i.item].item_id, "title": catalogue[i.item].title, "effect": round(i.effect, 4)}
            for i in evidence.influences
        ],
        "shared": [
            {"name": f.name, "value": f.value, "items": [catalogue[i].item_id for i in f.items]}
            for f in evidence.shared
        ],
        "passages": [{"text": p.value, "items": [catalogue[i].item_id for i in p.items]} for p in evidence.passages],
        "claims": [{"kind": c.kind, "text": c.text, "true": c.true} for c in reason.verdict.claims],
    }
