"""Server-sent events: JSON in events, errors as events, and a stream that ends what feeds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent

from recommender.server.http_errors import http_error_of
from recommender.server.http_metrics import HttpMetrics
from recommender.strict.json_documents import json_text

Events = AsyncGenerator[ServerSentEvent, None]
_NEWLINE = "\n"
#: a client that takes nothing for so long holds a connection and what waits to be sent
UNREAD_SECONDS = 30


def json_event(data: Any, name: str | None = None) -> ServerSentEvent:
    """Return an event with `data` as JSON."""
    return text_event(json_text(data), name)


def text_event(text: str, name: str | None = None) -> ServerSentEvent:
    """Return an event with `text` as it is."""
    return ServerSentEvent(text, event=name, sep=_NEWLINE)


def event_stream(events: Events, metrics: HttpMetrics, drain_seconds: float) -> EventSourceResponse:
    """Return the response that sends `events` as they come.

    A client that leaves, or reads nothing for `UNREAD_SECONDS`, closes `events`. On shutdown they may go on for
    `drain_seconds`; without that the library would cut them off at once.
    """
    return EventSourceResponse(
        _watched(events, metrics), sep=_NEWLINE, send_timeout=UNREAD_SECONDS, shutdown_grace_period=drain_seconds
    )


async def _watched(events: Events, metrics: HttpMetrics) -> Events:
    """Yield events, and count how they end; after the first byte an error can only be an event too."""
    try:
        async with aclosing(events):
            async for event in events:
                yield event
    except (asyncio.CancelledError, GeneratorExit):
        metrics.disconnected.inc()
        raise
    except Exception as error:
        answer = http_error_of(error)
        metrics.failed_streams.labels(answer.code).inc()
        yield json_event(answer.body)
