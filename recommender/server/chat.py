"""Chat completions: a conversation understood, answered in words and as data, in OpenAI's shapes."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import asdict
from typing import Any

from recommender.engine import RankedItem, Request
from recommender.server.bodies import Chat
from recommender.server.understanding import Understood


def question(chat: Chat, understood: Understood) -> Request:
    """Return what the engine is asked: nothing known, and nothing that was already proposed, is named again."""
    history = (*chat.history, *(item for item in understood.history if item not in chat.history))
    return Request(history=history, exclude=understood.proposed, k=chat.k, wish=understood.wish, explain=False)


def listed(items: Sequence[RankedItem]) -> str:
    """Return titles as a numbered list."""
    return "\n".join(f"{item.rank}. {item.title}" for item in items)


def told(items: Sequence[RankedItem]) -> str:
    """Return a numbered list of titles, each with its reason if there is one."""
    return "\n".join(
        f"{i.rank}. {i.title}: {i.justification}" if i.justification else f"{i.rank}. {i.title}" for i in items
    )


def completion(model: str, items: Sequence[RankedItem], notes: Sequence[str]) -> dict[str, Any]:
    """Return a whole answer; `recommendations` holds the items as data."""
    message = {"role": "assistant", "content": told(items)}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    data = {"recommendations": [asdict(item) for item in items], "notes": list(notes)}
    return _head(_identifier(), model, "chat.completion") | {"choices": [choice], "usage": _USAGE} | data


#: what a client must find; a recommendation is not counted in tokens
_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


async def chunks(
    model: str, items: Sequence[RankedItem], reasons: AsyncIterator[RankedItem] | None, notes: Sequence[str]
) -> AsyncGenerator[str, None]:
    """Yield an answer as server-sent events: the list at once, each reason as it is written, the data with the last."""
    name = _identifier()

    def event(delta: dict[str, Any], finish: str | None = None, **data: Any) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return sse(_head(name, model, "chat.completion.chunk") | {"choices": [choice]} | data)

    yield event({"role": "assistant", "content": listed(items)})
    final = {item.rank: item for item in items}
    if reasons is not None:
        yield event({"content": "\n"})
        async for item in reasons:
            final[item.rank] = item
            yield event({"content": f"\n{item.rank}. {item.justification}"})
    yield event({}, "stop", recommendations=[asdict(item) for item in final.values()], notes=list(notes))
    yield "data: [DONE]\n\n"


def sse(data: Any, event: str | None = None) -> str:
    """Return one server-sent event."""
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n"


def _identifier() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"


def _head(name: str, model: str, kind: str) -> dict[str, Any]:
    return {"id": name, "object": kind, "created": int(time.time()), "model": model}
