"""Server-sent events: JSON in events, errors as events, and a stream that ends what feeds it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent

from recommender.errors import RecommenderError
from recommender.server.http_errors import HttpError, http_error_of
from recommender.strict_json import json_text

Events = AsyncGenerator[ServerSentEvent, None]
_NEWLINE = "\n"


def json_event(data: Any, name: str | None = None) -> ServerSentEvent:
    """Return an event with `data` as JSON."""
    return text_event(json_text(data), name)


def text_event(text: str, name: str | None = None) -> ServerSentEvent:
    """Return an event with `text` as it is."""
    return ServerSentEvent(text, event=name, sep=_NEWLINE)


def event_stream(events: Events, drain_seconds: float) -> EventSourceResponse:
    """Return the response that sends `events` as they come.

    A client that leaves closes `events`. On shutdown they may go on for `drain_seconds`; without that the library would
    cut them off at once.
    """
    return EventSourceResponse(_errors_as_events(events), sep=_NEWLINE, shutdown_grace_period=drain_seconds)


async def _errors_as_events(events: Events) -> Events:
    """Yield events; after the first byte an error can only be an event too."""
    try:
        async with aclosing(events):
            async for event in events:
                yield event
    except HttpError as error:
        yield json_event(error.body)
    except RecommenderError as error:
        yield json_event(http_error_of(error).body)
