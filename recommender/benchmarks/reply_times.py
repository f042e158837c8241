"""How long somebody waits: for a list, for a list with its reasons, for a reply of a conversation, for questions back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from recommender.chat import Chat
from recommender.engine import Recommender, Request
from recommender.engine.counterfactual_answers import what_if, why_not
from recommender.progress import Progress

#: seconds that a list and a reply of ten justified items may take on two cores
LIST, REPLY = 2.0, 20.0


def bench_replies(
    engine: Recommender,
    histories: Sequence[np.ndarray],
    k: int = 10,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Return a row for each thing that is waited for, in seconds: by the clock, the median and the slowest over the
    histories, and of the processor, all threads together. The first history is asked once before, to warm up."""
    chat = Chat.of(engine)
    clock: dict[str, list[float]] = {}
    processor: dict[str, list[float]] = {}
    for number, history in enumerate([histories[0], *histories]):
        ids = tuple(engine.catalogue[int(item)].item_id for item in history)
        for name, call in _waits(engine, chat, ids, k).items():
            start, worked = time.perf_counter(), time.process_time()
            call()
            if number:
                clock.setdefault(name, []).append(time.perf_counter() - start)
                processor.setdefault(name, []).append(time.process_time() - worked)
        if progress:
            progress("replies", number, len(histories))
    limits = {"list": LIST, "list with reasons": REPLY, "chat with reasons": REPLY}
    return [
        {
            "what": name,
            "histories": len(times),
            "median s": float(np.median(times)),
            "slowest s": max(times),
            "processor s": float(np.median(processor[name])),
            "asked at most s": limits.get(name, ""),
            "within": sum(seconds < limits[name] for seconds in times) if name in limits else "",
        }
        for name, times in clock.items()
    ]


def _waits(engine: Recommender, chat: Chat, ids: tuple[str, ...], k: int) -> dict[str, Callable[[], object]]:
    asked = Request(history=ids, k=k, explain=False)
    other = engine.catalogue.item_ids[0 if engine.catalogue.item_ids[0] not in ids else 1]
    say = [{"role": "user", "content": f"something new to me, {k} items"}]
    return {
        "list": partial(engine.answer, asked),
        "list with reasons": partial(engine.answer, asked.model_copy(update={"explain": True})),
        "chat with reasons": partial(chat.reply, say, ids, k),
        "why not that one": partial(why_not, engine, asked, other),
        "what if not seen": partial(what_if, engine, asked, ids[-1:]),
    }
