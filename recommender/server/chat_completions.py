"""Chat completions: a conversation's reply in OpenAI's shapes, with the recommended items as data beside the text.

Each part of it is marked as generated, and the data say in words that a machine answers.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from sse_starlette import ServerSentEvent

from recommender.chat import Reply, worded
from recommender.engine import DISCLOSURE, GENERATED, RankedItem, Request
from recommender.engine.parts import HISTORY
from recommender.server.event_stream import Events, json_event, text_event
from recommender.server.schemas import ChatBody

Justified = AsyncGenerator[RankedItem, None]
#: clients expect these fields; recommendations are not counted in tokens
_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def ranked_items(reply: Reply) -> tuple[RankedItem, ...]:
    """Return the items of a reply as an engine's, to be justified."""
    return tuple(RankedItem(item.rank, item.item_id, item.title, item.score) for item in reply.items)


def engine_request(reply: Reply, body: ChatBody) -> Request:
    """Return the request that the items of a reply answer, for justifying them.

    Where history is switched off, the reply has none but what the conversation itself told.
    """
    without = tuple(part for part in body.without if part != HISTORY)
    return Request(history=reply.history, k=max(len(reply.items), 1), user=body.user, without=without)


def completion(
    model: str, reply: Reply, items: Sequence[RankedItem], completion_id: str | None = None
) -> dict[str, Any]:
    """Return a whole answer; `recommendations` holds the items as data."""
    message = {"role": "assistant", "content": worded(reply.opening, items)}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    head = _head(completion_id or new_id(), model, "chat.completion")
    return {**head, "choices": [choice], "usage": _USAGE, **_recommendations(reply, items)}


async def completion_chunks(
    model: str,
    reply: Reply,
    items: Sequence[RankedItem],
    justified: Justified | None = None,
    one_pass: bool = False,
    completion_id: str | None = None,
) -> Events:
    """Yield an answer as server-sent events: the list at once, each justification as it is written, as text and as data
    (`recommendations` of the first chunk, `recommendation` of a justification's), and all of the data at the end.

    `justified`: the items again, each with its justification; closed at the end. `one_pass`: the text of an item comes
    with its justification, not before it.
    """
    completion_id = completion_id or new_id()

    def chunk(delta: dict[str, Any], finish_reason: str | None = None, **data: Any) -> ServerSentEvent:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return json_event({**_head(completion_id, model, "chat.completion.chunk"), "choices": [choice], **data})

    listed_later = one_pass and justified is not None
    opening = {"role": "assistant", "content": worded(reply.opening, () if listed_later else items)}
    yield chunk(opening, **_recommendations(reply, items))  # so that a page can show cards while reasons are written
    final_items = {item.rank: item for item in items}
    if justified is not None:
        yield chunk({"content": "" if listed_later else "\n"})
        async with aclosing(justified):
            async for item in justified:
                final_items[item.rank] = item
                text = worded("", [item]) if listed_later else f"\n{item.rank}. {item.justification}"
                yield chunk({"content": text}, recommendation=asdict(item))
    yield chunk({}, "stop", **_recommendations(reply, final_items.values()))
    yield text_event("[DONE]")


def _recommendations(reply: Reply, items: Iterable[RankedItem]) -> dict[str, Any]:
    return {
        "recommendations": [asdict(item) for item in items],
        "notes": list(reply.notes),
        "filters": list(reply.filters),
        "asks": reply.asks,
        "understood": [chip.to_dict() for chip in reply.understood],
        "history": list(reply.history),
        "disclosure": DISCLOSURE,
    }


def new_id() -> str:
    """Return an id for an answer."""
    return f"chatcmpl-{uuid.uuid4().hex}"


def _head(completion_id: str, model: str, kind: str) -> dict[str, Any]:
    return {"id": completion_id, "object": kind, "created": int(time.time()), "model": model, **GENERATED}
