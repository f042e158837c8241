"""The HTTP surface, the same over every engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from fastapi import FastAPI, Response
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, StreamingResponse

from recommender.chat import Chat, Reply, sentence
from recommender.chat.media_queries import MediaQueries
from recommender.config import ServingConfig
from recommender.engine import Engine, RankedItem
from recommender.engine.trace import trace_of
from recommender.errors import DataError, RecommenderError
from recommender.server import chat_completions as chats
from recommender.server import http_errors
from recommender.server.counters import Metrics
from recommender.server.http_errors import HttpError, http_error_of
from recommender.server.message_media import MessageMedia
from recommender.server.queues import RankingQueue, WritingQueue
from recommender.server.schemas import ChatBody, FeedbackBody, RecommendationsBody, checked, parse, read_body
from recommender.store.feedback import Feedback

_Result = TypeVar("_Result")
_GONE = Response(status_code=499)  # nobody reads it


def create_app(engine: Engine, name: str, limits: ServingConfig | None = None) -> FastAPI:
    """Return the application that serves `engine` under the model name `name`."""
    app = FastAPI(title="recommender", description=f"RecommendationsBody of {name}", version="1")
    service = Service(engine, name, limits or ServingConfig())
    http_errors.install(app)
    app.middleware("http")(service.counted)
    for path, handler, kind in (
        ("/v1/recommendations", service.recommendations, RecommendationsBody),
        ("/v1/chat/completions", service.chat, ChatBody),
        ("/v1/feedback", service.feedback, FeedbackBody),
    ):
        schema = {"requestBody": {"content": {"application/json": {"schema": kind.model_json_schema()}}}}
        app.add_api_route(path, handler, methods=["POST"], response_model=None, openapi_extra=schema)
    app.add_api_route("/v1/models", service.models, methods=["GET"])
    app.add_api_route("/v1/models/{model:path}", service.model, methods=["GET"])
    app.add_api_route("/healthz", service.health, methods=["GET"])
    app.add_api_route("/metrics", service.measured, methods=["GET"])
    return app


class Service:
    """One engine, its lanes and its counters."""

    def __init__(self, engine: Engine, name: str, limits: ServingConfig) -> None:
        """Start the lanes."""
        self.engine, self.name, self.limits, self.conversation = engine, name, limits, Chat.of(engine)
        if limits.feedback is not None:
            engine.feedback_policy.keep_in(Path(limits.feedback))
        self.others: dict[str, Engine] = {}
        self.perception = MessageMedia(self.conversation, MediaQueries(engine.config, engine.features))
        self.metrics = Metrics()
        self.started = int(time.time())
        self.ranking = RankingQueue(engine, limits, self.metrics)
        self.writing = WritingQueue(engine, limits, self.metrics)

    async def counted(self, http: HttpRequest, call: Callable[[HttpRequest], Awaitable[Response]]) -> Response:
        """Count a request and its time."""
        begun = time.perf_counter()
        response = await call(http)
        route = getattr(http.scope.get("route"), "path", "other")
        self.metrics.requests.labels(route, str(response.status_code)).inc()
        self.metrics.seconds.labels(route).observe(time.perf_counter() - begun)
        return response

    async def recommendations(self, http: HttpRequest) -> Response:
        """Rank items for a history; reasons if asked for."""
        asked = checked(parse(RecommendationsBody, await read_body(http, self.limits)), self.limits)
        engine = await self._engine(asked.model)
        listed = asked.model_copy(update={"explain": False})
        if asked.stream:
            answer = await self._while_connected(http, self.ranking.rank(listed, engine))
            return _GONE if answer is None else _events(self._events(asked, answer, engine))
        return await self._whole(http, self._answer(asked, listed, engine))

    async def _answer(self, asked: RecommendationsBody, listed: RecommendationsBody, engine: Engine) -> JSONResponse:
        answer = await self.ranking.rank(listed, engine)
        items = await self._explained(asked, answer.items, engine) if asked.explain else answer.items
        data: dict[str, Any] = {
            "object": "list",
            "model": asked.model or self.name,
            "items": [asdict(item) for item in items],
        }
        if asked.trace:
            data["trace"] = await self.ranking.run(lambda: trace_of(engine, asked, items))
        return JSONResponse(data | {"notes": list(answer.notes)})

    async def _explained(
        self, asked: Any, items: tuple[RankedItem, ...], engine: Engine, one_pass: bool = False
    ) -> list[RankedItem]:
        async with aclosing(self.writing.stream_justifications(asked, items, True, one_pass, engine)) as reasons:
            return [item async for item in reasons]

    async def _events(self, asked: RecommendationsBody, answer: Any, engine: Engine) -> AsyncGenerator[str, None]:
        yield chats.sse({"model": asked.model or self.name, **answer.to_dict()}, "items")
        if asked.explain:
            async with aclosing(
                self.writing.stream_justifications(asked, answer.items, False, engine=engine)
            ) as reasons:
                async for item in reasons:
                    yield chats.sse(asdict(item), "justification")
        yield chats.sse({}, "done")

    async def chat(self, http: HttpRequest) -> Response:
        """Answer a conversation with items, in words and as data."""
        asked = parse(ChatBody, await read_body(http, self.limits))
        engine, name = await self._engine(asked.model), asked.model or self.name
        if sum(len(message.text) for message in asked.messages) > self.limits.message_chars:
            raise HttpError(
                400, f"messages: more than {self.limits.message_chars:,} characters", "too_long", "messages"
            )
        try:
            turns, looks = await self._perceived(asked)
        except DataError as error:
            return self._not_understood(asked, error)
        conversation = self.conversation.by(engine)
        # a question back may have a sentence written, and lists do not wait for that
        lane = self.writing if conversation.asks_back(turns) else self.ranking
        answer = lane.run(lambda: conversation.reply(turns, asked.history, asked.k, False, looks, asked.user))
        if not asked.stream:
            return await self._whole(http, self._completed(asked, answer, engine))
        reply = await self._while_connected(http, answer)
        if reply is None:
            return _GONE
        items = chats.ranked(reply)
        wanted = asked.explain and items
        known, one_pass = chats.asked_for(reply, asked.user), asked.one_pass
        reasons = self.writing.stream_justifications(known, items, False, one_pass, engine) if wanted else None
        return _events(chats.chunks(name, reply, items, reasons, one_pass), reasons)

    async def _perceived(self, asked: ChatBody) -> tuple[list[dict[str, str]], np.ndarray | None]:
        """Return the turns as text, and what the last picture prefers. Encoders wait for their turn with what writes."""
        if any(message.pictures or message.sounds for message in asked.messages):
            return await self.writing.run(lambda: self.perception.turns(asked))
        return self.perception.turns(asked)

    def _not_understood(self, asked: ChatBody, error: DataError) -> Response:
        """A picture that is none, an hour of sound: a sentence, and the conversation goes on."""
        reply = sentence(error)
        if asked.stream:
            return _events(chats.chunks(self.name, reply, (), None))
        return JSONResponse(chats.completion(self.name, reply, ()))

    async def _completed(self, asked: ChatBody, answer: Awaitable[Reply], engine: Engine) -> JSONResponse:
        reply = await answer
        items = chats.ranked(reply)
        wanted = asked.explain and items
        told = (
            await self._explained(chats.asked_for(reply, asked.user), items, engine, asked.one_pass)
            if wanted
            else items
        )
        return JSONResponse(chats.completion(asked.model or self.name, reply, told))

    async def feedback(self, http: HttpRequest) -> dict[str, Any]:
        """Keep what somebody says: it counts from the next answer on."""
        said = parse(FeedbackBody, await read_body(http, self.limits))
        await self._engine(said.model)
        if self.engine.feedback_policy.store is None:
            raise HttpError(409, "this server keeps no feedback; start it with --feedback FILE", "no_feedback")
        plain = Feedback.model_validate(said.model_dump(exclude={"model"}))
        kept = await asyncio.to_thread(self.engine.feedback_policy.take, plain, self.engine.style.noun)
        return {"object": "feedback", **kept.model_dump(mode="json")}

    async def models(self) -> dict[str, Any]:
        """List what is served: the model, and under a name of its own each version of it that is loaded."""
        names = [f"{self.name}:{version}" for version in await asyncio.to_thread(self.engine.adapters)]
        return {"object": "list", "data": [self._card(name) for name in (self.name, *names)]}

    async def model(self, model: str) -> dict[str, Any]:
        """Describe one model."""
        await self._engine(model)
        return self._card(model)

    def _card(self, name: str) -> dict[str, Any]:
        facts = {"engine": self.engine.name, "items": len(self.engine.catalogue)}
        return {"id": name, "object": "model", "created": self.started, "owned_by": "recommender", **facts}

    async def health(self) -> dict[str, str]:
        """Say that the server is there, and what computes for it. Raises HttpError 503 if that is gone."""
        if not await asyncio.to_thread(self.engine.is_alive):
            raise HttpError(503, "the engine does not answer", "engine_lost")
        return {"status": "ok"}

    async def measured(self) -> Response:
        """Tell Prometheus."""
        return Response(self.metrics.render(), media_type="text/plain; version=0.0.4")

    async def _engine(self, model: str | None) -> Engine:
        """Return who answers under a name: NAME, or NAME:VERSION. Raises HttpError 404."""
        if model is None or model == self.name:
            return self.engine
        version = model.removeprefix(f"{self.name}:")
        if version == model or version not in await asyncio.to_thread(self.engine.adapters):
            raise HttpError(
                404, f"the model {model!r} does not exist; this server has {self.name}", "model_not_found", "model"
            )
        return self.others.setdefault(version, self.engine.with_adapter(version))

    async def _whole(self, http: HttpRequest, work: Coroutine[Any, Any, JSONResponse]) -> Response:
        response = await self._while_connected(http, work)
        return _GONE if response is None else response

    async def _while_connected(self, http: HttpRequest, work: Coroutine[Any, Any, _Result]) -> _Result | None:
        """Return the result of `work`, or None, with the work cancelled, if the client leaves first."""
        task = asyncio.ensure_future(work)
        watch = asyncio.ensure_future(_left(http))
        try:
            await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            self.metrics.left.inc()
            return None
        finally:
            watch.cancel()
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def _left(http: HttpRequest) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


def _events(events: AsyncGenerator[str, None], inner: AsyncGenerator[Any, None] | None = None) -> StreamingResponse:
    return StreamingResponse(
        _safe(events, inner), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


async def _safe(
    events: AsyncGenerator[str, None], inner: AsyncGenerator[Any, None] | None
) -> AsyncGenerator[str, None]:
    """Yield events; an error after the first byte can only be told as an event. What feeds them ends with them."""
    try:
        async for event in events:
            yield event
    except HttpError as fault:
        yield chats.sse(fault.body)
    except RecommenderError as error:
        yield chats.sse(http_error_of(error).body)
    finally:
        for source in (events, inner):
            if source is not None:
                await source.aclose()
