"""The justifications of a list: evidence for several items at a time, sentences, and what stands before and behind them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from recommender.engine.background import AbandonedError, in_background
from recommender.engine.justifying import MediaRemarks, with_justification
from recommender.engine.requests import RankedItem, Request
from recommender.justify import Evidence, Justification

if TYPE_CHECKING:
    from recommender.engine.engine import Engine

#: items whose evidence is found, and whose justifications are written, together
EXPLAINED_AT_ONCE = 16


def one_by_one(
    engine: Engine, request: Request, items: Sequence[RankedItem], stop: threading.Event | None, together: bool
) -> Iterator[RankedItem]:
    """Yield items with their justifications as these are written: see `Engine.stream_justifications`."""
    at_once = EXPLAINED_AT_ONCE if together else engine.written_at_once
    for start in range(0, len(items), EXPLAINED_AT_ONCE):
        group = items[start : start + EXPLAINED_AT_ONCE]
        evidence = _evidence(engine, request, group, stop)
        justifications = engine.justifier.stream(evidence, request.user, stop, at_once)
        yield from _told(engine, request, group, evidence, justifications, stop)


def as_one_text(
    engine: Engine, request: Request, items: Sequence[RankedItem], stop: threading.Event | None
) -> Iterator[RankedItem]:
    """Yield items with their justifications, written in one generation: see `Engine.stream_justified_list`."""
    evidence = _evidence(engine, request, items, stop)
    justifications = engine.justifier.stream_list(evidence, request.user, stop)
    return _told(engine, request, items, evidence, justifications, stop)


def _told(
    engine: Engine,
    request: Request,
    items: Sequence[RankedItem],
    evidence: Sequence[Evidence],
    justifications: Iterator[Justification],
    stop: threading.Event | None,
) -> Iterator[RankedItem]:
    """Yield items with their justifications, behind what they meet of a query and before what their media show."""
    indices = [engine.catalogue.index(item.item_id) for item in items]
    answers = engine.justifier.query_answers(request.query, indices)
    remarks = _remarks(engine, request, evidence, stop)
    caveats = engine.justifier.caveats(engine.known(request), indices, request.user)
    for item, justification, answer, said, caveat in zip(
        items, justifications, answers, remarks, caveats, strict=False
    ):
        yield with_justification(item, justification, engine.catalogue, request.trace, answer, said, caveat)


def _evidence(
    engine: Engine, request: Request, items: Sequence[RankedItem], stop: threading.Event | None
) -> list[Evidence]:
    """Return the evidence of each item; none once `stop` is set."""
    indices = [engine.catalogue.index(item.item_id) for item in items]
    try:
        with in_background(stop), engine.switched(request):
            score = partial(engine.score, query=request.query, overrides=engine.overrides(request))
            return engine.justifier.evidence(engine.known(request), indices, score, request.user)
    except AbandonedError:
        return []


def _remarks(
    engine: Engine, request: Request, evidence: Sequence[Evidence], stop: threading.Event | None
) -> list[MediaRemarks]:
    """Return what may be said of each item's media; none once `stop` is set."""
    try:
        with in_background(stop), engine.switched(request):
            history, overrides = engine.known(request), engine.overrides(request)
            score = partial(engine.score_without, history, query=request.query, overrides=overrides)
            return engine.justifier.remarks(evidence, history, score, overrides)
    except AbandonedError:
        return []
