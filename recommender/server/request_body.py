"""Reading request bodies: a limit to their size, and JSON that is stricter than FastAPI's."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recommender.server.http_errors import HttpError
from recommender.strict_json import JsonError, parse_request

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
    """Return JSON as data. Raises HttpError 400 for what `strict_json.parse_request` refuses."""
    try:
        return parse_request(raw)
    except JsonError as error:
        if error.is_json:
            raise HttpError(400, str(error), param=error.field) from None
        raise HttpError(400, f"the body is not valid JSON ({error})", "invalid_json") from None
