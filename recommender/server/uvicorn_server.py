"""Runs the application in uvicorn, which answers requests under way before it ends on SIGTERM.

uvicorn waits without end for the headers of a request. Its connections are watched here: one whose headers do not come in
time is closed, and where there are too many connections, those that wait longest for headers make room.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from functools import partial
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from recommender.config import ServingConfig
from recommender.server.http_errors import HttpError
from recommender.server.http_metrics import HttpMetrics
from recommender.server.listening import listen
from recommender.server.versions import Versions


class WatchedConnection(H11Protocol):
    """A connection that must bring whole headers in time. Refuses WebSockets, and counts what never becomes a request."""

    def __init__(self, limits: ServingConfig, metrics: HttpMetrics | None, **uvicorn_arguments: Any) -> None:
        """`uvicorn_arguments`: what uvicorn makes connections with."""
        super().__init__(**uvicorn_arguments)
        self.limits, self.metrics = limits, metrics
        self.waits_for_headers: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait, and make room if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            others = [c for c in self.connections if isinstance(c, WatchedConnection) and c.waits_for_headers]
            if others:
                min(others, key=lambda connection: connection.deadline).close_unanswered()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        super().connection_lost(exc)
        self._wait_no_more()

    def handle_events(self) -> None:
        """Wait for headers from the end of an answer to the end of the next headers, whatever comes in between."""
        super().handle_events()
        self._watch()

    @property
    def deadline(self) -> float:
        """When the headers must have come, on the loop's clock."""
        return self.waits_for_headers.when() if self.waits_for_headers else float("inf")

    def close_unanswered(self) -> None:
        """Close a connection whose headers did not come."""
        self._wait_no_more()
        self._count(408)
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer and count what is no HTTP."""
        self._count(400)
        super().send_400_response(msg)

    def _should_upgrade(self) -> bool:
        """Nothing here speaks another protocol. Who asks for WebSockets waits for their handshake, so they are told."""
        return self._get_upgrade() == b"websocket"

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Refuse and count a handshake of WebSockets, whatever its path."""
        self._count(426)
        refusal = HttpError(426, "this server speaks HTTP/1.1 and no WebSocket", "no_websocket").response()
        headers = [*refusal.raw_headers, (b"connection", b"close")]
        for part in (
            h11.Response(status_code=426, headers=headers, reason=b"Upgrade Required"),
            h11.Data(data=bytes(refusal.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(part) or b"")
        self.transport.close()

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._wait_no_more()
        elif self.waits_for_headers is None:
            self.waits_for_headers = self.loop.call_later(self.limits.header_seconds, self.close_unanswered)

    def _wait_no_more(self) -> None:
        if self.waits_for_headers is not None:
            self.waits_for_headers.cancel()
            self.waits_for_headers = None

    def _count(self, status: int) -> None:
        # a client that kept its connection for later and leaves it to be closed has done nothing wrong
        if self.metrics is not None and (status != 408 or self.conn.trailing_data[0] or self.cycle is None):
            self.metrics.count_refused(status)


def server_config(app: FastAPI | Versions, limits: ServingConfig, **options: Any) -> uvicorn.Config:
    """Return uvicorn's settings for an application of `create_app`; `options`: further ones, as they are."""
    watched = partial(WatchedConnection, limits, getattr(app.state, "metrics", None))
    return uvicorn.Config(
        app,
        host=limits.host,
        port=limits.port,
        http=watched,  # type: ignore[arg-type]  # called as the class would be
        timeout_graceful_shutdown=limits.drain_seconds,
        access_log=False,
        proxy_headers=False,  # anybody on this machine could say to be somebody else
        server_header=False,
        **{"log_level": "info"} | options,
    )


class ListeningServer(uvicorn.Server):
    """A server that is given its sockets, and says where it listens, as one does that makes them."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        if self.started and sockets:
            self._log_started_message(sockets)


def run_server(app: FastAPI | Versions, limits: ServingConfig, sockets: Sequence[socket.socket]) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are answered first, for at most `drain_seconds`.

    `sockets`: of `reserved`. They listen once what is slow the first time was done.
    """
    app.state.warm_up()
    listen(sockets)
    ListeningServer(server_config(app, limits)).run(list(sockets))
