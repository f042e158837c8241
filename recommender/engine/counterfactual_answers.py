"""Questions back to an engine: why not that one, what if something had not been seen. Answers are data and a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from recommender.data.catalogue import Catalogue
from recommender.data.id_fields import item_ids
from recommender.data.joining import DOMAIN
from recommender.engine.engine import Engine
from recommender.engine.filters import matching
from recommender.engine.parts import HISTORY
from recommender.engine.requests import Request
from recommender.engine.turns import of_domains, turns_of
from recommender.errors import RecommenderError
from recommender.justify import answers
from recommender.justify.counterfactual import MOST_CHANGES, Change, ScoreAll, shift, shortfall
from recommender.justify.item_names import namesakes

#: items like the one asked about that are tried as additions to the history
ADDITIONS = 20


def why_not(engine: Engine, request: Request, item_id: str) -> dict[str, Any]:
    """Say where an item stands in the answer to a request, and the smallest change that would list it.

    Filters and exclusions that it does not meet are named, and the rest is answered as if they were dropped. Raises
    RecommenderError for unknown ids.
    """
    engine.check_parts(request.without)
    with engine.switched(request):
        return _why_not(engine, request, item_id)


def _why_not(engine: Engine, request: Request, item_id: str) -> dict[str, Any]:
    catalogue, history = engine.catalogue, engine.known(request)
    item, had = catalogue.index(item_id), catalogue.indices(request.history)
    barred, free = _barred(engine, request, item)
    seen, counts = bool(item in had), HISTORY not in request.without
    similar = [i for i in engine.similar_items(item, ADDITIONS + len(history)) if i not in history]
    standing = shortfall(
        history,
        item,
        request.k,
        _scores(engine, request),
        engine.rules.allowed(free, had).numpy(),
        engine.config.justify.window,
        similar[:ADDITIONS],
        most=0 if seen or not counts else MOST_CHANGES,
        unhelpful=namesakes(catalogue, item, (*history.tolist(), *similar)),
        turns=turns_of(catalogue, free.domains),
    )
    return {
        "item_id": catalogue[item].item_id,
        "title": catalogue[item].title,
        "seen": seen,
        "listed": not seen and not barred and standing.rank <= request.k,
        "rank": standing.rank,
        "score": _finite(standing.score),
        "score_of_the_last_listed": _finite(standing.last),
        "barred_by": barred,
        "changes": [_plain(catalogue, change) for change in standing.changes],
        "text": answers.why_not(catalogue, standing, request.k, engine.style, list(barred.values()), seen),
    }


def what_if(engine: Engine, request: Request, removed: Sequence[Any]) -> dict[str, Any]:
    """Say how the answer to a request would differ had these items never been seen.

    Raises RecommenderError for unknown ids, and for items that are not in the history.
    """
    catalogue, history = engine.catalogue, engine.catalogue.indices(request.history)
    if HISTORY in request.without:
        raise RecommenderError("history is switched off: what was seen changes nothing", "leave it out of without")
    removed = item_ids(removed)
    removed_items = [int(item) for item in catalogue.indices(removed)]
    if not_in_history := [name for name, item in zip(removed, removed_items, strict=True) if item not in history]:
        raise RecommenderError(f"item {not_in_history[0]!r} is not in the history", "ask about one that is")
    allowed = engine.rules.allowed(request, history).numpy()
    engine.check_parts(request.without)
    with engine.switched(request):
        turns = turns_of(catalogue, request.domains)
        change = shift(history, removed_items, request.k, _scores(engine, request), allowed, turns)
    return {
        "without": _named(catalogue, removed_items),
        "before": _named(catalogue, change.before),
        "after": _named(catalogue, change.after),
        "left": _named(catalogue, change.left),
        "entered": _named(catalogue, change.entered),
        "moved": [{**_name(catalogue, item), "change": round(by, 4)} for item, by in change.moved],
        "text": answers.what_if(catalogue, removed_items, change, engine.style),
    }


def _finite(score: float) -> float | None:
    """Return a score, None for one that JSON cannot hold: that of a seen item where baselines rank along."""
    return score if np.isfinite(score) else None


def _scores(engine: Engine, request: Request) -> ScoreAll:
    overrides, boosts = engine.overrides(request), engine.boosts(request)
    return partial(engine.score_all, query=request.query, fused=request.fusing, overrides=overrides, boosts=boosts)


def _barred(engine: Engine, request: Request, item: int) -> tuple[dict[str, str], Request]:
    """Return what the item does not meet, in words, and the request without that."""
    catalogue, style = engine.catalogue, engine.style
    unmet, entry = {}, catalogue[item]
    for name, values in request.filters.items():
        if not matching(catalogue, {name: values})[item]:
            unmet[name] = answers.barred("filter", style, name, values, entry.attributes.get(name, ()))
    filters = {name: values for name, values in request.filters.items() if name not in unmet}
    domains = request.domains
    if domains and not of_domains(catalogue, domains)[item]:
        unmet["domains"] = answers.barred("filter", style, DOMAIN, tuple(domains), entry.attributes.get(DOMAIN, ()))
        domains = {}
    excluded = set(catalogue.indices(request.exclude).tolist())
    if item in excluded:
        unmet["exclude"] = answers.barred("exclude", style)
    only = request.only
    if only is not None and item not in catalogue.indices(only):
        unmet["only"], only = answers.barred("only", style), None
    user = request.user
    if item in engine.feedback_policy.refused(user):
        unmet["user"], user = answers.barred("refused", style), None
    kept = tuple(i for i in request.exclude if catalogue.index(i) != item)
    free = {"filters": filters, "domains": domains, "exclude": kept, "only": only, "user": user}
    return unmet, request.model_copy(update={"k": 1, **free})


def _plain(catalogue: Catalogue, change: Change) -> dict[str, Any]:
    return {"removed": _named(catalogue, change.removed), "added": _named(catalogue, change.added)}


def _named(catalogue: Catalogue, items: Sequence[int] | np.ndarray) -> list[dict[str, str]]:
    return [_name(catalogue, int(item)) for item in items]


def _name(catalogue: Catalogue, item: int) -> dict[str, str]:
    return {"item_id": catalogue[item].item_id, "title": catalogue[item].title}
