"""What a well-formed request may still not ask for: small bodies can be large work."""

from __future__ import annotations

from collections.abc import Iterator

from recommender.engine import Request
from recommender.server.http_errors import HttpError
from recommender.server.schemas import ChatBody

#: characters of an item id, an attribute's name or its value
LONGEST_ID = 1000


def check_id_lengths(body: Request | ChatBody) -> None:
    """Raise HttpError 400 for an id, or a filter's value, that no catalogue has: a near one would be looked for."""
    for field, texts in _texts(body):
        for text in texts:
            check_id_length(field, text)


def check_id_length(field: str, text: str) -> None:
    """Raise HttpError 400 for an id, a value or a domain in a field that no catalogue has."""
    if len(text) > LONGEST_ID:
        raise HttpError(400, f"{field}: longer than {LONGEST_ID:,} characters", "too_long", field)


def _texts(body: Request | ChatBody) -> Iterator[tuple[str, tuple[str, ...]]]:
    for field in ("history", "exclude", "only", "boosts", "vectors", "filters", "domains"):
        yield field, tuple(getattr(body, field, None) or ())
    for values in () if isinstance(body, ChatBody) else body.filters.values():
        yield "filters", values


def check_media_count(body: ChatBody, most: int) -> None:
    """Raise HttpError 400 if a chat holds more than `most` pictures and sounds."""
    if sum(len(message.images) + len(message.sounds) for message in body.messages) > most:
        raise HttpError(400, f"messages: more than {most} pictures and sounds", "too_long", "messages")
