"""How long a user waits: for a list, for a list with justifications, for a chat reply, for answers to why and what if."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from recommender.benchmarks.measuring import Elapsed, timed
from recommender.chat import Chat
from recommender.engine import Recommender, Request
from recommender.engine.counterfactual_answers import what_if, why_not
from recommender.justify.item_names import display_name
from recommender.progress import Progress

#: Seconds that a list, the first list of a conversation and a reply with ten justified items may take on two cores.
LIST_LIMIT, HEARD_LIMIT, REPLY_LIMIT = 2.0, 3.0, 20.0


def bench_replies(
    engine: Recommender,
    histories: Sequence[np.ndarray],
    k: int = 10,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Return a row for each kind of request: by the clock the median and the slowest of the histories, and the median of
    the processor's seconds over all threads. The first history is asked once before, to warm up."""
    chat = Chat.of(engine)
    rounds: dict[str, list[Elapsed]] = {}
    for number, history in enumerate([histories[0], *histories]):
        ids = tuple(engine.catalogue[int(item)].item_id for item in history)
        for name, call in _requests(engine, chat, ids, k).items():
            elapsed = timed(call)
            if number:
                rounds.setdefault(name, []).append(elapsed)
        if progress:
            progress("replies", number, len(histories))
    return [_row(name, elapsed) for name, elapsed in rounds.items()]


LIST, JUSTIFIED_LIST = "list", "list with justifications"
HEARD, CHAT = "first list of a conversation", "chat with justifications"
_LIMITS = {LIST: LIST_LIMIT, JUSTIFIED_LIST: REPLY_LIMIT, HEARD: HEARD_LIMIT, CHAT: REPLY_LIMIT}


def _row(name: str, rounds: Sequence[Elapsed]) -> dict[str, Any]:
    seconds = [elapsed.seconds for elapsed in rounds]
    return {
        "what": name,
        "histories": len(rounds),
        "median s": float(np.median(seconds)),
        "slowest s": max(seconds),
        "processor s": float(np.median([elapsed.processor for elapsed in rounds])),
        "asked at most s": _LIMITS.get(name, ""),
        "within": sum(s < _LIMITS[name] for s in seconds) if name in _LIMITS else "",
    }


def _requests(engine: Recommender, chat: Chat, ids: tuple[str, ...], k: int) -> dict[str, Callable[[], object]]:
    request = Request(history=ids, k=k, explain=False)
    other = engine.catalogue.item_ids[0 if engine.catalogue.item_ids[0] not in ids else 1]
    messages = [{"role": "user", "content": f"something new to me, {k} items"}]
    names = [display_name(engine.catalogue[engine.catalogue.index(item)]) for item in ids[-2:]]
    favourites = [{"role": "user", "content": f"I liked {' and '.join(names)}. What else is there, nothing too heavy?"}]
    return {
        LIST: partial(engine.answer, request),
        JUSTIFIED_LIST: partial(engine.answer, request.model_copy(update={"explain": True})),
        HEARD: partial(chat.reply, favourites, (), k, False),
        CHAT: partial(chat.reply, messages, ids, k),
        "why not that one": partial(why_not, engine, request, other),
        "what if not seen": partial(what_if, engine, request, ids[-1:]),
    }
