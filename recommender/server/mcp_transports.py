"""How agents reach the tools: over standard input and output, and over HTTP at `/mcp`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from importlib.util import find_spec

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recommender.config import ServingConfig
from recommender.engine import Engine
from recommender.server.followed_service import FollowedService, Source
from recommender.server.http_errors import HttpError
from recommender.server.service import Service

PATH = "/mcp"
#: the header of a request for a stream of what changes, which nothing here does: it would hold a version of the model
_LISTENS = (b"mcp-method", b"subscriptions/listen")


def run_stdio(engine: Engine, name: str, limits: ServingConfig, source: Source | None = None) -> None:
    """Answer one agent over standard input and output until it leaves; nothing else is written to standard output.

    `source`: where versions of the model come from; every `limits.reload_seconds` it is looked for another one, which then
    answers in the same session.
    """
    from recommender.server.mcp_tools import build

    followed = FollowedService(Service(engine, name, limits))
    if source is not None and limits.reload_seconds is not None:
        followed.follow(source, lambda opened: Service(opened, name, limits), limits.reload_seconds)
    build(followed.using).run("stdio")
    followed.stop()


class McpRoute:
    """The route `/mcp` of an application: streamable HTTP without sessions, so that any replica, and any version of the
    model, may answer."""

    def __init__(self, service: Service) -> None:
        """Where the SDK is not installed the route says so."""
        self._service = service
        self._answer: ASGIApp | None = None

    def install(self, app: FastAPI) -> None:
        """Add the route to an application. Bodies, hosts and origins are checked by the application, as for all routes."""
        app.router.routes.append(Route(PATH, endpoint=self))

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Answer while the application runs."""
        if find_spec("mcp") is None:
            yield
            return
        async with self._running():
            yield
        self._answer = None

    def _running(self) -> AbstractAsyncContextManager[None]:
        from mcp.server.transport_security import TransportSecuritySettings

        from recommender.server.mcp_tools import build

        server = build(lambda: nullcontext(self._service))
        server.streamable_http_app(
            json_response=True,
            stateless_http=True,
            # the application has checked hosts and origins, by its own settings
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
            max_request_body_size=self._service.limits.body_bytes,
        )
        self._answer = server.session_manager.handle_request
        return server.session_manager.run()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of an agent."""
        if self._answer is None:
            message = "this server has no tools for agents: install the extra mcp, recommender[mcp]"
            await HttpError(404, message, "not_available").response()(scope, receive, send)
            return
        if scope["method"] != "POST" or _LISTENS in scope["headers"]:
            error = HttpError(405, "this server tells agents nothing unasked: POST one message", "no_stream")
            answer = error.response()
            answer.headers["Allow"] = "POST"
            await answer(scope, receive, send)
            return
        await _while_connected(self._answer, scope, receive, send)


async def _while_connected(answer: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request, or end the work on it if its client leaves first: the SDK works on to the end for nobody."""
    body_read = asyncio.Event()

    async def watched() -> Message:
        message = await receive()
        if not message.get("more_body", False):
            body_read.set()
        return message

    async def departure() -> None:
        await body_read.wait()
        while (await receive())["type"] != "http.disconnect":
            pass

    work, left = asyncio.ensure_future(answer(scope, watched, send)), asyncio.ensure_future(departure())
    try:
        await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
    finally:
        left.cancel()
        if not work.done():
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work
