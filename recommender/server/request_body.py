"""Reading request bodies: a limit to their size, and JSON that is stricter than FastAPI's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recommender.server.http_errors import HttpError

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|[\ud800-\udfff]")
_JSON_HEADER = (b"content-type", b"application/json")


class BodySizeLimit:
    """ASGI middleware that answers 413 to a larger body, without reading it to its end."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        """`limit`: most bytes of a body."""
        self.app, self.limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on while its body is within the limit: by its Content-Length, and by what really arrives."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        too_large = HttpError(413, f"the body is larger than {self.limit:,} bytes", "body_too_large")
        length = Headers(scope=scope).get("content-length", "0")
        if length.isdecimal() and int(length) > self.limit:
            await too_large.response()(scope, receive, send)
            return
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.limit:
                raise too_large
            return message

        await self.app(scope, receive_within_limit, send)


class JsonRequest(Request):
    """A request whose body is read as JSON by `parse_json`."""

    async def json(self) -> Any:
        """Return the body as data. Raises HttpError 400."""
        return parse_json(await self.body())


class JsonRoute(APIRoute):
    """A route that takes every body as JSON, whatever its Content-Type: `curl -d` sends none that says so."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, given a `JsonRequest`."""
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            headers = [pair for pair in request.scope["headers"] if pair[0] != b"content-type"]
            scope = {**request.scope, "headers": [*headers, _JSON_HEADER]}
            return await handle(JsonRequest(scope, request.receive))

        return handle_json


def parse_json(raw: bytes) -> Any:
    """Return JSON as data. Raises HttpError 400 for other text, for NaN and infinities, and for control characters."""
    try:
        body = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise HttpError(400, f"the body is not valid JSON ({error})", "invalid_json") from None
    _refuse_control_characters(body, "")
    return body


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _refuse_control_characters(value: Any, field: str) -> None:
    """Raise HttpError 400: in ids or words such characters have no meaning; broken or hostile clients send them."""
    if isinstance(value, str) and (match := _CONTROL.search(value)):
        message = f"{field or 'body'}: control character U+{ord(match[0]):04X}"
        raise HttpError(400, message, param=field or None)
    if isinstance(value, dict):
        for name, inner in value.items():
            _refuse_control_characters(name, field or "body")
            _refuse_control_characters(inner, f"{field}.{name}" if field else name)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _refuse_control_characters(inner, f"{field}.{number}" if field else str(number))
