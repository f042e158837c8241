"""What the routes do: rank, converse, keep feedback, and say which models there are."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import Query, Response
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse

from recommender.chat import Chat, Reply, sentence
from recommender.chat.media_queries import MediaQueries
from recommender.config import ServingConfig
from recommender.engine import GENERATED, Engine, RankedItem, Request, make_request
from recommender.engine import Response as Ranking
from recommender.engine.parameters import parameters
from recommender.engine.trace import for_strangers, trace_of
from recommender.errors import DataError, RecommenderError
from recommender.server.access import caller_of, own_user
from recommender.server.audit_trail import AuditTrail
from recommender.server.callers import caller_name
from recommender.server.chat_completions import completion, completion_chunks, engine_request, new_id, ranked_items
from recommender.server.connection import while_connected
from recommender.server.event_stream import Events, event_stream, json_event
from recommender.server.explanations import ExplanationBody, explanation, of_conversation
from recommender.server.http_errors import HttpError
from recommender.server.http_metrics import HttpMetrics
from recommender.server.items import Items, listed_texts
from recommender.server.limits import check_id_lengths, check_media_count
from recommender.server.lists import Lists, Served, check_experiments
from recommender.server.message_media import MessageMedia
from recommender.server.people import NOT_PERSONAL, People, check_explained
from recommender.server.queues import RankingQueue, WritingQueue
from recommender.server.readiness import Readiness
from recommender.server.schemas import (
    ChatBody,
    FeedbackBody,
    RecommendationsBody,
    check_list_lengths,
    check_text_length,
)
from recommender.server.spoken_lists import SpokenList, spoken_list
from recommender.server.ways import Way
from recommender.store.impressions import Impression
from recommender.store.opinions import Feedback
from recommender.store.store import Store

_Result = TypeVar("_Result")
_CLIENT_LEFT = 499


class Service:
    """One engine with its queues and metrics. Each public method answers one route."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        limits: ServingConfig,
        store: Store | None = None,
        metrics: HttpMetrics | None = None,
    ) -> None:
        """Start the queues. `name`: what clients call the model. `store`: what is kept of people.

        Raises ConfigError for experiments that the engine cannot serve.
        """
        check_experiments(engine, limits)
        self.engine, self.name, self.limits = engine, name, limits
        self.people, self.trail = People(engine, store), AuditTrail(engine, store)
        self.conversation = Chat.of(engine)
        if store is not None:
            engine.feedback_policy.follow(store.feedback)
        elif limits.feedback is not None:
            engine.feedback_policy.keep_in(Path(limits.feedback))
        self.message_media = MessageMedia(self.conversation, MediaQueries(engine.config, engine.features))
        self.metrics = metrics or HttpMetrics()
        self.ranking = RankingQueue(engine, limits, self.metrics)
        self.writing = WritingQueue(engine, limits, self.metrics)
        self.readiness = Readiness(engine)
        self.items = Items(engine, limits)
        self.lists = Lists(engine, name, limits, store, self.ranking, self._engine_for)
        self._adapter_engines: dict[str, Engine] = {}
        self._started = int(time.time())

    def warm_up(self) -> None:
        """Do once what is slow only the first time, so that no client waits while another one is the first.

        What lives by then lives as long as the server: the garbage collector, which holds up everybody for a third of a
        second whenever it looks through all of it, leaves it alone from here on.
        """
        with suppress(RecommenderError):  # an engine that cannot answer yet says so to those who ask
            first = self.engine.catalogue.item_ids[:1]
            self.engine.answer(Request(history=first, k=1))
            self.engine.answer(Request(history=first, k=1, query="something good"))  # what reads texts
            self.conversation.reply([{"role": "user", "content": "something good"}], explain=False)
        self.message_media.media_queries.load()
        gc.collect()
        gc.freeze()

    def close(self) -> None:
        """Let go of the engine, once the last request has been answered."""
        self.ranking.close()

    # /v1/recommendations

    async def recommendations(self, http: HttpRequest, body: RecommendationsBody) -> Response:
        """Rank items for a history, and justify them if the request says so."""
        check_list_lengths(body, self.limits.history)
        check_id_lengths(body)
        engine = await self._engine_for(body.model)
        body, told = await self.people.prepared(http, body)
        caller = caller_of(http).name
        if not body.stream:
            return await self._while_connected(http, self._recommendations(body, engine, told, caller)) or _no_reader()
        served = await self._while_connected(http, self._ranked(body, engine, told))
        if served is None:
            return _no_reader()
        await self._keep(body.user, served.impression)
        await self._write_down(caller, body, served.ranking.items)
        return self._stream(self._recommendation_events(body, served, engine, told, caller))

    async def _ranked(self, body: RecommendationsBody, engine: Engine, told: Sequence[str]) -> Served:
        request = body.model_copy(update={"explain": False})
        # a trace is replayed from its request alone, so nothing else may have a say in its list
        return await self.lists.ranked(request, engine, body.model, NOT_PERSONAL not in told and not body.trace)

    async def _keep(self, user: str | None, shown: Impression) -> None:
        """Keep which list somebody is shown, before they are."""
        if self.lists.store is not None:
            await asyncio.to_thread(self.lists.keep, user, shown)

    async def listed_for_agent(self, request: Request, told: Sequence[str]) -> Served:
        """Return a list for somebody's agent, made as for themselves."""
        return await self.lists.ranked(request, self.engine, None, NOT_PERSONAL not in told, "agent")

    async def keep_for_agent(
        self, caller: str, request: Request, shown: Impression, items: Sequence[RankedItem]
    ) -> None:
        """Keep which list a tool gave to somebody's agent."""
        await self._keep(request.user, shown)
        await self._write_down(caller, request, items)

    async def _write_down(
        self, caller: str | None, body: Request | ChatBody, items: Sequence[RankedItem], kind: str = "list"
    ) -> None:
        """Keep what is answered in the audit log, where there is one, before it is answered."""
        if self.trail.store is not None:
            await asyncio.to_thread(self.trail.listed, caller, body, body.user, items, kind)

    async def write_down_explained(self, caller: str | None, body: Request, told: Mapping[str, Any]) -> None:
        """Keep an answer to a question about a list in the audit log, where there is one, before it is answered."""
        if self.trail.store is not None:
            await asyncio.to_thread(self.trail.explained, caller, body, body.user, told)

    async def _written_down(
        self, caller: str | None, body: ChatBody, justified: AsyncGenerator[RankedItem, None]
    ) -> AsyncGenerator[RankedItem, None]:
        """Yield justified items as they come, and keep in the audit log those that came."""
        items: list[RankedItem] = []
        try:
            async with aclosing(justified):
                async for item in justified:
                    items.append(item)
                    yield item
        finally:
            if items:
                await self._write_down(caller, body, items, "justified")

    async def _recommendations(
        self, body: RecommendationsBody, engine: Engine, told: Sequence[str], caller: str | None
    ) -> JSONResponse:
        served = await self._ranked(body, engine, told)
        ranking, items = served.ranking, served.ranking.items
        if body.explain:
            most = self.limits.explained
            items = (*await self.justified(body, items[:most], engine), *items[most:])
        data: dict[str, Any] = {
            "object": "list",
            "request_id": served.impression.request_id,
            "model": body.model or self.name,
            "items": [asdict(item) for item in items],
            **GENERATED,
        }
        if body.trace:
            trace = await self.writing.run(lambda: trace_of(engine, body, items))
            data["trace"] = for_strangers(trace, body.model or self.name)
        await self._keep(body.user, served.impression)
        await self._write_down(caller, body, items)
        return JSONResponse({**data, "notes": [*told, *self._notes(body, ranking)]})

    def _notes(self, body: RecommendationsBody, ranking: Ranking) -> list[str]:
        most = self.limits.explained
        cut = body.explain and len(ranking.items) > most
        return [*ranking.notes, *([f"only the first {most} items are justified"] if cut else [])]

    async def justified(
        self, request: Request, items: tuple[RankedItem, ...], engine: Engine, one_pass: bool = False
    ) -> tuple[RankedItem, ...]:
        """Return the items of a request's answer with their justifications. Raises HttpError 429 if the queue is full."""
        justifications = self.writing.stream_justifications(request, items, True, one_pass, engine)
        async with aclosing(justifications):
            return tuple([item async for item in justifications])

    async def _recommendation_events(
        self, body: RecommendationsBody, served: Served, engine: Engine, told: Sequence[str], caller: str | None
    ) -> Events:
        ranking = served.ranking
        listed = {**ranking.to_dict(), "notes": [*told, *self._notes(body, ranking)]}
        head = {"request_id": served.impression.request_id, "model": body.model or self.name}
        yield json_event({**head, **listed}, "items")
        if body.explain:
            items = ranking.items[: self.limits.explained]
            justifications = self.writing.stream_justifications(body, items, False, engine=engine)
            async with aclosing(justifications):
                justified = []
                async for item in justifications:
                    justified.append(item)
                    yield json_event(asdict(item) | GENERATED, "justification")
            await self._write_down(caller, body, justified, "justified")
        yield json_event({}, "done")

    # /v1/explanations, /v1/parameters

    async def explanations(self, http: HttpRequest, body: ExplanationBody) -> Response:
        """Say why an item is listed, why another one is not, what if, or what its picture and its sound did."""
        check_list_lengths(body, self.limits.history)
        check_id_lengths(body)
        engine = await self._engine_for(body.model)
        asked, told = await self.people.prepared(http, body.model_copy(update={"explain": True}))
        check_explained(told)
        check_text_length(asked.messages, self.limits.message_chars)
        talk = self.conversation.by(engine)
        work = self.writing.run(lambda: explanation(engine, of_conversation(talk, asked)) | GENERATED)
        found = await self._while_connected(http, work)
        if found is None:
            return _no_reader()
        await self.write_down_explained(caller_of(http).name, asked, found)
        return JSONResponse({**found, "model": body.model or self.name})

    async def parameters(
        self,
        http: HttpRequest,
        history: Annotated[str, Query(description="item ids, oldest first, with commas between them")] = "",
        k: Annotated[int, Query(ge=1, le=100)] = 10,
        query: Annotated[str | None, Query(max_length=500)] = None,
        without: Annotated[str, Query(description="parts that are switched off, with commas between them")] = "",
        domains: Annotated[
            str, Query(description="domains of a joined catalogue that take turns, with commas between them")
        ] = "",
        user: Annotated[str | None, Query(max_length=200)] = None,
        model: str | None = None,
    ) -> Response:
        """Say what a list is made of: each part in plain words, with its weight, measured by switching it off."""
        engine = await self._engine_for(model)
        texts = {"history": history, "without": without, "domains": domains}
        fields: dict[str, Any] = {name: listed_texts(name, text) for name, text in texts.items()}
        request = make_request(**fields, k=k, query=query, user=own_user(http, user))
        check_list_lengths(request, self.limits.history)
        check_id_lengths(request)
        return await self._written(http, model, lambda: parameters(engine, request))

    async def _written(self, http: HttpRequest, model: str | None, work: Callable[[], dict[str, Any]]) -> Response:
        """Return what `work` finds, in the turn of those that write."""
        found = await self._while_connected(http, self.writing.run(work))
        return _no_reader() if found is None else JSONResponse({**found, "model": model or self.name})

    # /v1/chat/completions

    async def chat(self, http: HttpRequest, body: ChatBody) -> Response:
        """Answer a conversation with items, as text and as data."""
        engine = await self._engine_for(body.model)
        check_list_lengths(body, self.limits.history)
        check_id_lengths(body)
        check_text_length(body.messages, self.limits.message_chars)
        check_media_count(body, self.limits.media)
        body, told = await self.people.prepared(http, body)
        try:
            read = await self._while_connected(http, self._read_messages(body))
        except DataError as error:
            return self._unreadable(body, error)
        if read is None:
            return _no_reader()
        messages, image_gains = read
        spoken = await self._spoken(body, engine, told)
        reply, caller = self._reply(body, messages, image_gains, spoken, told), caller_of(http).name
        if not body.stream:
            return await self._while_connected(http, self._completion(body, reply, spoken, caller)) or _no_reader()
        finished_reply = await self._while_connected(http, reply)
        if finished_reply is None:
            return _no_reader()
        await self._keep(body.user, spoken.impression(ranked_items(finished_reply)))
        await self._write_down(caller, body, ranked_items(finished_reply))
        return self._chat_stream(body, finished_reply, spoken, caller)

    async def _spoken(self, body: ChatBody, engine: Engine, told: Sequence[str]) -> SpokenList:
        """Return how the answer's list is made: with chance and by arms, unless a model is named, or nothing is personal."""
        adapter = None if body.model in (None, self.name) else str(body.model).removeprefix(f"{self.name}:")
        if adapter is None and NOT_PERSONAL not in told:
            return await spoken_list(self.lists, body.user, new_id())
        return SpokenList(self.lists, engine, new_id(), Way(adapter))

    async def _read_messages(self, body: ChatBody) -> tuple[list[dict[str, str]], np.ndarray | None]:
        """Return the messages as text, and the nats [items] that the last image adds. Encoders run in the writing queue."""
        if any(message.images or message.sounds for message in body.messages):
            return await self.writing.run(lambda: self.message_media.read_messages(body))
        return self.message_media.read_messages(body)

    def _unreadable(self, body: ChatBody, error: DataError) -> Response:
        """Answer an image or a sound that cannot be used with a sentence: the conversation goes on."""
        reply, model = sentence(error), body.model or self.name
        if body.stream:
            return self._stream(completion_chunks(model, reply, ()))
        return JSONResponse(completion(model, reply, ()))

    async def _reply(
        self,
        body: ChatBody,
        messages: list[dict[str, str]],
        image_gains: np.ndarray | None,
        spoken: SpokenList,
        told: Sequence[str],
    ) -> Reply:
        conversation = self.conversation.by(spoken.engine)
        # an answer to a question may take a written sentence, and lists must not wait for that
        asks_back = await asyncio.to_thread(conversation.asks_back, messages)
        jobs = self.writing if asks_back else self.ranking
        given = body.history, body.k, False, image_gains, body.user, body.without, body.dropped
        more = spoken, body.exclude, body.domains
        reply = await jobs.run(lambda: conversation.reply(messages, *given, *more))
        return replace(reply, notes=(*told, *reply.notes, *spoken.notes()))

    async def _completion(
        self, body: ChatBody, reply: Awaitable[Reply], spoken: SpokenList, caller: str | None
    ) -> JSONResponse:
        finished_reply = await reply
        items = ranked_items(finished_reply)
        if body.explain and items:
            items = await self.justified(engine_request(finished_reply, body), items, spoken.engine, body.one_pass)
        await self._keep(body.user, spoken.impression(items))
        await self._write_down(caller, body, items)
        return JSONResponse(completion(body.model or self.name, finished_reply, items, spoken.request_id))

    def _chat_stream(self, body: ChatBody, reply: Reply, spoken: SpokenList, caller: str | None) -> Response:
        items, justifications = ranked_items(reply), None
        if body.explain and items:
            request = engine_request(reply, body)
            written = self.writing.stream_justifications(request, items, False, body.one_pass, spoken.engine)
            justifications = self._written_down(caller, body, written)
        named = body.model or self.name
        chunks = completion_chunks(named, reply, items, justifications, body.one_pass, spoken.request_id)
        return self._stream(chunks)

    def _stream(self, events: Events) -> Response:
        return event_stream(events, self.metrics, self.limits.drain_seconds)

    # /v1/feedback

    async def feedback(self, http: HttpRequest, body: FeedbackBody) -> dict[str, Any]:
        """Keep feedback; it counts from the next answer on.

        What is called wrong is not told again to anybody, so it is a vote of the caller, whoever they say that they are.
        """
        await self._engine_for(body.model)
        said = Feedback.model_validate(body.model_dump(exclude={"model"}) | {"user": own_user(http, body.user)})
        return await self.keep(said, caller_of(http).name or caller_name(http))

    async def keep(self, feedback: Feedback, caller: str) -> dict[str, Any]:
        """Keep what somebody said and return it as it was kept; `caller`: whose vote it is that something is wrong.

        Raises HttpError 409 if feedback is not kept here, DataError as `FeedbackPolicy.take` does.
        """
        policy = self.engine.feedback_policy
        if policy.store is None:
            raise HttpError(
                409, "this server keeps no feedback; start it with --store or --feedback FILE", "no_feedback"
            )
        voter = caller if feedback.opinion == "wrong" else feedback.user
        kept = feedback.model_copy(update={"user": voter})
        stored = await asyncio.to_thread(policy.take, kept, self.engine.style.noun)
        await asyncio.to_thread(self.trail.told, caller, feedback.opinion, feedback.user, feedback.item_id)
        return {"object": "feedback", **stored.model_dump(mode="json"), "user": feedback.user}

    # /v1/models, /healthz, /readyz

    async def models(self) -> dict[str, Any]:
        """List the served model, and as NAME:ADAPTER each further ranking adapter that is loaded."""
        names = [f"{self.name}:{adapter}" for adapter in await asyncio.to_thread(self.engine.adapters)]
        return {"object": "list", "data": [self._card(name) for name in (self.name, *names)]}

    async def model(self, model: str) -> dict[str, Any]:
        """Describe one model."""
        await self._engine_for(model)
        return self._card(model)

    def _card(self, name: str) -> dict[str, Any]:
        facts = {"engine": self.engine.name, "items": len(self.engine.catalogue)}
        return {"id": name, "object": "model", "created": self._started, "owned_by": "recommender", **facts}

    async def health(self) -> dict[str, str]:
        """Say that the server lives. It waits for nothing: what is busy is alive."""
        return {"status": "ok"}

    async def ready(self) -> dict[str, str]:
        """Say that the server can answer. Raises HttpError 503 if the engine is gone, or nothing comes out of it.

        Lists need no feedback: where none can be kept at the moment, the status is `degraded`, and `feedback` says why.
        """
        engine_fault, feedback_fault = await self.readiness()
        if engine_fault:
            raise HttpError(503, "the engine does not answer", engine_fault)
        for work, queue in (("ranked", self.ranking), ("written", self.writing)):
            if (seconds := queue.stuck_seconds) > self.limits.stuck_seconds:
                raise HttpError(503, f"nothing has been {work} for {seconds:.0f} seconds", "engine_stuck")
        return {"status": "degraded", "feedback": feedback_fault} if feedback_fault else {"status": "ok"}

    async def _engine_for(self, model: str | None) -> Engine:
        """Return the engine for a model's name: NAME, or NAME:ADAPTER. Raises HttpError 404."""
        if model is None or model == self.name:
            return self.engine
        adapter = model.removeprefix(f"{self.name}:")
        if adapter == model or adapter not in await asyncio.to_thread(self.engine.adapters):
            raise HttpError(
                404, f"the model {model!r} does not exist; this server has {self.name}", "model_not_found", "model"
            )
        return self._adapter_engines.setdefault(adapter, self.engine.with_adapter(adapter))

    async def _while_connected(self, http: HttpRequest, work: Coroutine[Any, Any, _Result]) -> _Result | None:
        """Return the result of `work`, or None if the client leaves first."""
        result = await while_connected(http, work)
        if result is None:
            self.metrics.disconnected.inc()
        return result


def _no_reader() -> Response:
    """Return the response to a client that has left: a status for the metrics."""
    return Response(status_code=_CLIENT_LEFT)
