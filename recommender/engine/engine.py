"""What all engines are: a request checked against the catalogue, a ranked list with its notes, checked justifications.

An engine computes two things by itself, scores behind prompts and texts. How these become a ranking is in `ranking`, what
may be recommended in `rules`, how a justification comes about in `justifying`.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from recommender.baselines.fusion.stored import StoredFusion
from recommender.config import Config, Modality
from recommender.constraints.text_constraint import TextConstraint
from recommender.conversations.spoken import Likeness
from recommender.data.catalogue import Catalogue
from recommender.encoders.features import Features
from recommender.encoders.labels import MediaLabels
from recommender.engine import list_justifying
from recommender.engine.checked_request import CheckedRequest
from recommender.engine.feedback_policy import FeedbackPolicy
from recommender.engine.heard import heard_conversation, heard_query
from recommender.engine.item_explanation import explain_item
from recommender.engine.justifying import Justifier
from recommender.engine.listening import ConversationReader, HeardConversation, Message
from recommender.engine.parts import BASELINES, HISTORY, POPULARITY, Part, check_parts, modalities_of, switched_off
from recommender.engine.popularity import Popularity
from recommender.engine.query_scorer import QueryScorerCache
from recommender.engine.ranking import NO_OVERRIDES, ListRanker, Signals
from recommender.engine.request_vectors import vector_overrides
from recommender.engine.requests import RankedItem, Request, Response, make_request
from recommender.engine.rules import ListingRules
from recommender.engine.setup import EngineSetup
from recommender.engine.turns import ranked, turns_of
from recommender.errors import EngineLostError, RecommenderError
from recommender.inference.beam_search import Ranking
from recommender.justify import ClaimChecker, Justification, Style
from recommender.justify.companions import Companions
from recommender.numerics.vectors import unit_rows
from recommender.prompting.builder import ExampleBuilder
from recommender.prompting.conversation import ReadMention
from recommender.prompting.example import Example, VectorOverrides


class Engine(ABC):
    """Answers requests over one catalogue.

    `at_once`: how many requests gain from being ranked together; `parallel`: how many such groups may be under way;
    `written_at_once`: how many sentences are written together while justifications are streamed.
    """

    name = ""
    #: whether the language model writes; where it does not, sentences are plain, and `plain_because` says why
    writes = True
    plain_because: str | None = None
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
        companions: Companions | None = None,
        labels: MediaLabels | None = None,
        reader: ConversationReader | None = None,
    ) -> None:
        """Answer for this catalogue with these prompts and vectors; `fusion`: the baselines that rank along.

        `companions`: what many people had together. `labels`: what the items' media show. `reader`: makes prompts of
        conversations, for a model that has learned to listen.
        """
        self.reader = reader
        style = replace(Style.of(config.prompt, config.justify), liked=companions is not None and companions.liked)
        self.setup = EngineSetup(catalogue, config, builder, features, fusion, style, companions, labels)
        self.setup.listens = reader is not None
        self.checker = ClaimChecker(catalogue, style.phrases, style.liked)
        self.feedback_policy = FeedbackPolicy(self.checker, config.justify.wrong_votes, config.justify.adapt)
        self.rules = ListingRules(catalogue, self.feedback_policy)
        self._query_scorers = QueryScorerCache()
        self._bind()

    def _bind(self) -> None:
        """Give the parts of this engine what it computes; a copy that computes otherwise binds parts of its own."""
        self.ranker = ListRanker(self.setup, self, self._query_scorers)
        self.popularity = Popularity(self.ranker)
        self.justifier = Justifier(self.setup, self, self.feedback_policy)

    @property
    def catalogue(self) -> Catalogue:
        """The items that may be recommended."""
        return self.setup.catalogue

    @property
    def config(self) -> Config:
        """The settings that decide an answer."""
        return self.setup.config

    @property
    def builder(self) -> ExampleBuilder:
        """What makes prompts of histories."""
        return self.setup.builder

    @property
    def features(self) -> Features:
        """The items' encoder vectors."""
        return self.setup.features

    @property
    def fusion(self) -> StoredFusion | None:
        """The baselines that may rank along, if the checkpoint has some."""
        return self.setup.fusion

    @property
    def style(self) -> Style:
        """How justifications are written."""
        return self.setup.style

    @property
    def vectors(self) -> np.ndarray | None:
        """The vectors [items, width] of the items' texts, by which they are alike; None where there are none."""
        return self.features.table("text") if "text" in self.features.vectors else None

    @property
    def plain_note(self) -> str | None:
        """What a user must know of justifications that the language model does not write; None where it does."""
        return None if self.writes else f"the sentences are plain: {self.plain_because or 'the model does not write'}"

    # what an engine computes by itself

    @abstractmethod
    def rank_prompts(self, prompts: Sequence[Example], k: int, allowed: torch.Tensor) -> list[Ranking]:
        """Return the best `k` allowed items of each prompt; `allowed` bool [prompts, items]."""

    @abstractmethod
    def score_prompts(self, prompts: Sequence[Example], candidates: Sequence[int]) -> np.ndarray:
        """Return exact log-probabilities [prompts, candidates]."""

    def hear_prompts(self, prompts: Sequence[Example]) -> np.ndarray:
        """Return log-probabilities [prompts, items] behind conversations. Raises RecommenderError unless it listens."""
        raise RecommenderError("the model has not learned to listen", "recommender conversations teach")

    def read_prompt(self, prompt: Example, mentions: Sequence[ReadMention]) -> list[tuple[str, float]]:
        """Return what each mention means, and how sure that is. Raises RecommenderError unless it listens."""
        raise RecommenderError("the model has not learned to listen", "recommender conversations teach")

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

    def contributions(
        self,
        history: np.ndarray,
        items: Sequence[int],
        query: str | None = None,
        overrides: VectorOverrides = NO_OVERRIDES,
    ) -> dict[Modality, np.ndarray]:
        """Return each modality's effect on each item's score [items], where the engine can leave one out; else none."""
        return {}

    def score_without(
        self,
        history: np.ndarray,
        modality: Modality | None,
        items: Sequence[int],
        candidates: Sequence[int],
        query: str | None = None,
        overrides: VectorOverrides = NO_OVERRIDES,
    ) -> np.ndarray | None:
        """Return the scores [candidates] while `items` have nothing of a modality; None where the engine cannot do that."""
        return None

    def addresses(self) -> dict[str, str]:
        """Where the servers are that compute for it: what each does -> its address."""
        return {}

    def adapters(self) -> tuple[str, ...]:
        """The names of the ranking adapters that `with_adapter` knows at the moment, beside the engine's own."""
        return ()

    def with_adapter(self, adapter: str) -> Engine:
        """Return this engine with another ranking adapter of `adapters`."""
        raise RecommenderError(f"the {self.name} engine has no adapter {adapter!r}")

    def is_alive(self) -> bool:
        """Whether what computes is there."""
        return True

    def close(self) -> None:
        """Let go of what the engine holds outside this process."""
        return

    # answers

    def recommend(self, history: Sequence[Any], k: int = 10, **options: Any) -> list[RankedItem]:
        """Return the `k` best items for a history of item ids, oldest first; options are the fields of Request.

        Ids may be text or whole numbers, also of numpy and pandas. The list is shorter where fewer items may be shown.
        Raises RecommenderError for a history that is no list (write ["50"] for one item), and for unknown ids.
        """
        return list(self.answer(make_request(history=history, k=k, **options)).items)

    def answer(self, request: Request) -> Response:
        """Rank, and explain if asked to; a note says if there are fewer items than asked for. Raises RecommenderError for
        unknown ids and for filters that no item can meet."""
        response = self.answer_many([request])[0]
        if isinstance(response, RecommenderError):
            raise response
        return response

    def answer_many(self, requests: Sequence[Request]) -> list[Response | RecommenderError]:
        """Answer requests together; one that cannot be met gets its error in its own place."""
        responses: dict[int, Response | RecommenderError] = {}
        groups: defaultdict[tuple[Any, ...], dict[int, CheckedRequest]] = defaultdict(dict)
        for number, request in enumerate(requests):
            try:
                checked = self._checked(request)
            except RecommenderError as error:
                responses[number] = error
                continue
            # the beam's width decides what is found, so only equal widths go together
            width, off = max(checked.k, self.config.decoding.beam), modalities_of(request.without)
            with switched_off(off):
                changed = self.ranker.changes_scores(checked.signals)
            groups[width, checked.signals.fused, changed, off][number] = checked
        for group in groups.values():
            responses |= dict(zip(group, self._answer_or_errors(list(group.values())), strict=True))
        return [responses[number] for number in range(len(requests))]

    def _answer_or_errors(self, group: Sequence[CheckedRequest]) -> Sequence[Response | RecommenderError]:
        """Answer a group. If that fails each of it is answered alone, so that only who makes it fail has the error."""
        try:
            return self._answer_group(group)
        except EngineLostError:
            raise
        except RecommenderError as error:
            if len(group) == 1:
                return [error]
            return [answer for checked in group for answer in self._answer_or_errors([checked])]

    def _checked(self, request: Request) -> CheckedRequest:
        self.check_parts(request.without)
        history = self.known(request)
        overrides, fused = self.overrides(request), self.ranker.fuses(request.fusing)
        heard = heard_query(self.reader, self.ranker.query_text(request.query), history)
        with self.switched(request):
            signals = Signals(request.query, self.boosts(request), fused, heard)
        prompt = self.ranker.prompts([history], request.query, overrides)[0]
        allowed = self.rules.allowed(request, self.catalogue.indices(request.history))
        k, turns = min(request.k, int(allowed.sum())), turns_of(self.catalogue, request.domains)
        return CheckedRequest(request, history, allowed, prompt, signals, k, turns)

    @property
    def likeness(self) -> Likeness | None:
        """What tells how like texts are to those of the items, by their sentence vectors; None where nothing can."""
        return None

    def _answer_group(self, group: Sequence[CheckedRequest]) -> list[Response]:
        with self.switched(group[0].request):  # the same in all of a group
            rankings = ranked(self.ranker, group)
        return [self._response(checked, ranking) for checked, ranking in zip(group, rankings, strict=True)]

    def _response(self, checked: CheckedRequest, ranking: Ranking) -> Response:
        request = checked.request
        best = zip(ranking.items[: checked.k], ranking.scores[: checked.k], strict=True)
        items = [self._ranked_item(rank, int(item), float(score)) for rank, (item, score) in enumerate(best, 1)]
        if request.explain:
            items = list(self.stream_justifications(request, items, together=True))
        shown = self.builder.shown(checked.prompt)
        with self.switched(request):
            notes = self.rules.notes(request, self.ranker, shown, self.plain_note, int(checked.allowed.sum()))
        return Response(tuple(items), notes)

    def _ranked_item(self, rank: int, item: int, score: float) -> RankedItem:
        entry = self.catalogue[item]
        return RankedItem(rank, entry.item_id, entry.title, score)

    def stream_justifications(
        self,
        request: Request,
        items: Sequence[RankedItem],
        stop: threading.Event | None = None,
        together: bool = False,
    ) -> Iterator[RankedItem]:
        """Yield the items of a request's answer with their justifications, in order, as these are written and checked.

        Ends early once `stop` is set. `together`: write up to `EXPLAINED_AT_ONCE` at a time, which is faster, but the
        first one comes later.
        """
        yield from list_justifying.one_by_one(self, request, items, stop, together)

    def stream_justified_list(
        self, request: Request, items: Sequence[RankedItem], stop: threading.Event | None = None
    ) -> Iterator[RankedItem]:
        """Yield the items of a request's answer with their justifications, all of them written in one generation.

        See `Justifier.stream_list`. Ends early once `stop` is set.
        """
        if self.writes and items:
            yield from list_justifying.as_one_text(self, request, items, stop)
        else:
            yield from self.stream_justifications(request, items, stop)

    def explain_item(
        self, history: Sequence[str], item_id: str, query: str | None = None, user: str | None = None
    ) -> dict[str, Any]:
        """Explain one item for a history of item ids: sentence, evidence, score, what modalities and a query add to it."""
        return explain_item(self, make_request(history=history, query=query, user=user), item_id)

    # what a request leaves out

    @property
    def switchable(self) -> tuple[Part, ...]:
        """The parts that a request may switch off."""
        return (POPULARITY, HISTORY, *([BASELINES] if self.fusion is not None else []))

    def check_parts(self, without: Sequence[Part]) -> None:
        """Raise RecommenderError for a part that this engine cannot leave out."""
        if without:
            check_parts(without, self.switchable, self.name)

    def switched(self, request: Request) -> AbstractContextManager[None]:
        """Within the block this thread's scores are without the modalities that a request switches off."""
        return switched_off(modalities_of(request.without))

    def known(self, request: Request) -> np.ndarray:
        """Return the catalogue indices of what is known of the person, int64 [n]: none where history is switched off."""
        history = self.catalogue.indices(request.history)
        return history[:0] if HISTORY in request.without else history

    def boosts(self, request: Request) -> np.ndarray | None:
        """Return float32 [items]: nats that a request adds to scores, less what popularity gives where that is switched
        off; None for nothing. Within `switched`. Raises RecommenderError for unknown ids."""
        boosts = self.rules.boosts(request)
        if POPULARITY not in request.without:
            return boosts
        costs = self.popularity.costs(self.ranker.fuses(request.fusing))
        return -costs if boosts is None else boosts - costs

    def overrides(self, request: Request) -> VectorOverrides:
        """Return the vectors that a request brings. Raises RecommenderError for those that do not fit."""
        return vector_overrides(request, self.catalogue, self.features)

    # rankings and scores of catalogue indices

    def rank(
        self,
        histories: Sequence[np.ndarray],
        k: int,
        allowed: torch.Tensor | None = None,
        query: str | None = None,
        fused: bool | None = None,
        overrides: VectorOverrides = NO_OVERRIDES,
        boosts: np.ndarray | None = None,
        conversation: HeardConversation | None = None,
    ) -> list[Ranking]:
        """Rank for histories of catalogue indices; `allowed` bool [histories, items], by default all but the seen.

        `fused`: together with the baselines that lie in the checkpoint, None as configured. `boosts` float [items]: nats
        that are added to scores. `conversation`: what was said, by `converse`. See `ListRanker.rank`.
        """
        if allowed is None:
            allowed = torch.stack([self.rules.unseen(history) for history in histories])
        signals = self._signals(histories, query, fused, boosts, conversation)
        prompts = self.ranker.prompts(histories, query, overrides)
        return self.ranker.rank(prompts, histories, k, allowed, signals)

    def _signals(
        self,
        histories: Sequence[np.ndarray],
        query: str | None,
        fused: bool | None,
        boosts: np.ndarray | None,
        conversation: HeardConversation | None,
    ) -> list[Signals]:
        plain = Signals(query, boosts, self.ranker.fuses(fused))
        if conversation is None:
            said = self.ranker.query_text(query)
            return [replace(plain, heard=heard_query(self.reader, said, history)) for history in histories]
        tuned = self.setup.tuned
        likeness = None if tuned is None else self.likeness
        heard = partial(heard_conversation, self.reader, conversation, tuned, likeness)
        return [replace(plain, heard=heard(history)) for history in histories]

    def score(
        self,
        histories: Sequence[np.ndarray],
        candidates: Sequence[int],
        query: str | None = None,
        overrides: VectorOverrides = NO_OVERRIDES,
    ) -> np.ndarray:
        """Return the language model's exact log-probabilities [histories, candidates].

        `overrides`: vectors in the place of the items' own.
        """
        return self.score_prompts(self.ranker.prompts(histories, query, overrides), candidates)

    def score_all(
        self,
        histories: Sequence[np.ndarray],
        query: str | None = None,
        fused: bool | None = None,
        overrides: VectorOverrides = NO_OVERRIDES,
        boosts: np.ndarray | None = None,
        conversation: HeardConversation | None = None,
    ) -> np.ndarray:
        """Return the scores [histories, items] by which the whole catalogue is ranked; arguments as in `rank`."""
        signals = self._signals(histories, query, fused, boosts, conversation)
        return self.ranker.score_all(histories, signals, overrides)

    @property
    def listens(self) -> bool:
        """Whether the model has learned to listen to what is said."""
        return self.reader is not None

    def converse(
        self, messages: Sequence[Message], history: np.ndarray | Sequence[int] = (), positions: bool = True
    ) -> HeardConversation:
        """Return a conversation as the model hears it, behind what is known of a history of catalogue indices.

        `positions`: whether items stand behind their names.

        Raises RecommenderError if the model has not learned to listen, or has no room for the last message.
        """
        if self.reader is None:
            raise RecommenderError("the model has not learned to listen", "recommender conversations teach")
        return self.reader.conversation(messages, history, positions)

    def scores_query(self, query: str | None) -> bool:
        """Return whether a query changes scores by the items' texts, beside being read by the language model."""
        return self.ranker.scores_query(query)

    def explain(
        self, history: np.ndarray, items: Sequence[int], query: str | None = None, user: str | None = None
    ) -> list[Justification]:
        """Find what drove each item, have the LLM write a sentence from it, and check the sentence."""
        evidence = self.justifier.evidence(history, items, partial(self.score, query=query), user)
        return self.justifier.justify(evidence, user)

    def caveats(self, history: np.ndarray, items: Sequence[int], user: str | None = None) -> list[str]:
        """Return for each item a sentence that says how it is unlike the history; "" for none. See `Justifier.caveats`."""
        return ["" if caveat is None else caveat[1] for caveat in self.justifier.caveats(history, items, user)]

    def similar_items(self, item: int, count: int) -> list[int]:
        """Return the `count` items most like one in their texts, itself left out; none where the engine has no vectors."""
        if self.vectors is None:
            return []
        unit = unit_rows(self.vectors)
        order = np.argsort(-(unit @ unit[item]), kind="stable")
        return [int(other) for other in order[: count + 1] if other != item][:count]
