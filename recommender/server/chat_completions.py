"""Chat completions: what a conversation answered, in words and as data, in OpenAI's shapes."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from recommender.chat import Reply, worded
from recommender.engine import RankedItem, Request


def ranked(reply: Reply) -> tuple[RankedItem, ...]:
    """Return the items of a reply as an engine's, to be given reasons."""
    return tuple(RankedItem(item.rank, item.item_id, item.title, item.score) for item in reply.items)


def asked_for(reply: Reply, user: str | None) -> Request:
    """Return the request whose answer the items of a reply are, for whoever writes their reasons."""
    return Request(history=reply.history, k=max(len(reply.items), 1), user=user)


def completion(model: str, reply: Reply, items: Sequence[RankedItem]) -> dict[str, Any]:
    """Return a whole answer; `recommendations` holds the items as data."""
    message = {"role": "assistant", "content": worded(reply.opening, items)}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _head(_identifier(), model, "chat.completion") | {"choices": [choice], "usage": _USAGE} | _data(reply, items)


def _data(reply: Reply, items: Iterable[RankedItem]) -> dict[str, Any]:
    told = {"notes": list(reply.notes), "filters": list(reply.filters), "asks": reply.asks}
    return {"recommendations": [asdict(item) for item in items], **told}


#: what a client must find; a recommendation is not counted in tokens
_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


async def chunks(
    model: str,
    reply: Reply,
    items: Sequence[RankedItem],
    reasons: AsyncIterator[RankedItem] | None,
    one_pass: bool = False,
) -> AsyncGenerator[str, None]:
    """Yield an answer as server-sent events: the list at once, each reason as it is written, the data with the last.

    `one_pass`: the list comes with its reasons, item by item.
    """
    name = _identifier()

    def event(delta: dict[str, Any], finish: str | None = None, **data: Any) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return sse(_head(name, model, "chat.completion.chunk") | {"choices": [choice]} | data)

    whole = one_pass and reasons is not None
    yield event({"role": "assistant", "content": worded(reply.opening, () if whole else items)})
    final = {item.rank: item for item in items}
    if reasons is not None:
        yield event({"content": "" if whole else "\n"})
        async for item in reasons:
            final[item.rank] = item
            yield event({"content": worded("", [item]) if whole else f"\n{item.rank}. {item.justification}"})
    yield event({}, "stop", **_data(reply, final.values()))
    yield "data: [DONE]\n\n"


def sse(data: Any, event: str | None = None) -> str:
    """Return one server-sent event."""
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n"


def _identifier() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"


def _head(name: str, model: str, kind: str) -> dict[str, Any]:
    return {"id": name, "object": kind, "created": int(time.time()), "model": model}
