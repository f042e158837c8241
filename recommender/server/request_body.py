"""Reading request bodies: a limit to their size and to how long they may take, and JSON that is stricter than FastAPI's."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recommender.server.http_errors import HttpError
from recommender.strict.json_documents import JsonError, parse_request

#: values in a body, by its commas, and entries of one list or object: reading more would keep everybody waiting
MOST_VALUES, MOST_ENTRIES = 200_000, 10_000
_JSON_TYPE = re.compile(r"application/(?:[\w.-]+\+)?json\s*(?:;|$)", re.IGNORECASE)


class BodyLimits:
    """ASGI middleware that answers 413 to a larger body, without reading it to its end, and 408 to one that does not end."""

    def __init__(self, app: ASGIApp, limit: int, seconds: float) -> None:
        """`limit`: most bytes of a body; `seconds`: how long it may take to arrive."""
        self.app, self.limit, self.seconds = app, limit, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on while its body is within the limits: by its Content-Length, and by what really arrives."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        too_large = HttpError(413, f"the body is larger than {self.limit:,} bytes", "body_too_large")
        length = Headers(scope=scope).get("content-length", "0")
        if length.isdecimal() and int(length) > self.limit:
            await too_large.response()(scope, receive, send)
            return
        received, until, whole = 0, time.monotonic() + self.seconds, False

        async def receive_within_limits() -> Message:
            nonlocal received, whole
            if whole:  # what may come now is that the client leaves
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), until - time.monotonic())
            except TimeoutError:
                raise HttpError(408, f"the body did not come within {self.seconds:g} seconds", "body_timeout") from None
            received += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if received > self.limit:
                raise too_large
            return message

        await self.app(scope, receive_within_limits, send)


class JsonRequest(Request):
    """A request whose body is read as JSON by `parse_json`, beside the event loop: large ones take a while."""

    def __init__(self, scope: Scope, receive: Receive, longest: int, turn: asyncio.Lock) -> None:
        """`longest`: most entries of one list or object; `turn`: held while one body is read."""
        super().__init__(scope, receive)
        self.longest, self.turn = longest, turn

    async def json(self) -> Any:
        """Return the body as data. Raises HttpError 400."""
        raw = await self.body()
        async with self.turn:  # it holds the interpreter: a crowd of large bodies would stop everybody
            return await asyncio.to_thread(parse_json, raw, self.longest)


class JsonRoute(APIRoute):
    """A route whose bodies are JSON and say so.

    A browser sends what says that it is text or a form to any server, from any page; only for JSON it asks before.
    """

    #: most entries of one list or object of a body
    longest: int
    #: bodies are read one after the other, so that what is small passes between two that are large
    turn: asyncio.Lock

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, given a `JsonRequest`."""
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            if self.body_field is not None and not _JSON_TYPE.match(request.headers.get("content-type", "")):
                message = "the body must be JSON and say so: Content-Type: application/json (curl --json)"
                raise HttpError(415, message, "unsupported_media_type")
            return await handle(JsonRequest(request.scope, request.receive, self.longest, self.turn))

        return handle_json


def json_route(history: int = 0) -> type[JsonRoute]:
    """Return the routes of one application. `history`: most items of one list of a request, if that is more than usual."""
    return type("OwnJsonRoute", (JsonRoute,), {"longest": max(history, MOST_ENTRIES), "turn": asyncio.Lock()})


def parse_json(raw: bytes, longest: int = MOST_ENTRIES) -> Any:
    """Return JSON as data.

    Raises HttpError 400 for what `parse_request` refuses, for more values than any request needs, and for a list or an
    object of more than `longest` entries.
    """
    if raw.count(b",") > MOST_VALUES:
        raise HttpError(400, f"the body holds more than {MOST_VALUES:,} values", "too_long")
    try:
        value = parse_request(raw)
    except JsonError as error:
        if error.is_json:
            raise HttpError(400, str(error), param=error.field) from None
        raise HttpError(400, f"the body is not valid JSON ({error})", "invalid_json") from None
    _check_lengths(value, longest)
    return value


def _check_lengths(value: Any, longest: int, field: str = "") -> None:
    if not isinstance(value, list | dict):
        return
    if len(value) > longest:
        name = field or "the body"
        raise HttpError(400, f"{name}: more than {longest:,} items", "too_long", field or None)
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inner, list | dict):
            _check_lengths(inner, longest, f"{field}.{key}" if field else str(key))
