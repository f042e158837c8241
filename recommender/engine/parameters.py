"""What a ranking is made of: each of its parts in plain words, with its weight, measured by switching it off.

The law asks every platform to say what its lists rest on, and how to change that (Digital Services Act, article 27). What is
said here is measured on the model that answers, for the person who asks, not taken from its settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from recommender.engine.background import check_stop
from recommender.engine.engine import Engine
from recommender.engine.parameter_words import described
from recommender.engine.parts import HISTORY
from recommender.engine.popularity import log_softmax
from recommender.engine.requests import Request
from recommender.engine.turns import turns_of
from recommender.errors import RecommenderError
from recommender.numerics.turns import best

#: what may be switched by another field of a request than `without`
QUERY, FEEDBACK, FILTERS, DOMAINS, BOOSTS = "query", "feedback", "filters", "domains", "boosts"


@dataclass(frozen=True)
class Standing:
    """How a request is answered. `scores` float [items]: log-probabilities, whatever is added to them; `listed`: the items
    of its list, best first."""

    scores: np.ndarray
    listed: tuple[int, ...]


def parameters(engine: Engine, request: Request) -> dict[str, Any]:
    """Return the parts that decide a request's list, the one that changes it most first.

    Each is switched off, or on if the request has switched it off, and all is ranked again: `changed` says how many items of
    the list then differ, `effect` by how many nats the log-probabilities of the list's items then differ on average; it is
    None for what only says which items may be listed. Raises RecommenderError for unknown ids, parts that cannot be
    switched off, and catalogues that cannot be scored whole.
    """
    engine.check_parts(request.without)
    _check_scorable(engine)
    now = _standing(engine, request)
    found = [_measured(engine, name, now, request, other) for name, other in _others(engine, request)]
    found.sort(key=lambda one: (-one["changed"], -(one["effect"] or 0.0)))
    return {
        "object": "parameters",
        "history": len(request.history),
        "k": request.k,
        "data": found,
        "personal": _personal(engine, request),
    }


def _check_scorable(engine: Engine) -> None:
    if not engine.popularity.is_known:
        message = "with several levels of codes, parameters of so many items are not measured: that takes minutes"
        raise RecommenderError(message, "ask for GET /v1/parameters of a model with one level")


def _others(engine: Engine, request: Request) -> Iterator[tuple[str, Request]]:
    """Yield each part that has an effect on some request, and the request with the part switched off, or on again."""
    for part in (part for part in engine.switchable if part != HISTORY or request.history):
        off = part in request.without
        without = tuple(p for p in request.without if p != part) if off else (*request.without, part)
        yield part, request.model_copy(update={"without": without})
    if engine.ranker.query_text(request.query):
        yield QUERY, request.model_copy(update={"query": None})
    if engine.feedback_policy.refused(request.user):
        yield FEEDBACK, request.model_copy(update={"user": None})
    if request.filters or request.exclude or request.only is not None:
        yield FILTERS, request.model_copy(update={"filters": {}, "exclude": (), "only": None})
    if request.domains:
        yield DOMAINS, request.model_copy(update={"domains": {}})
    if request.boosts:
        yield BOOSTS, request.model_copy(update={"boosts": {}})


def _measured(engine: Engine, name: str, now: Standing, request: Request, other: Request) -> dict[str, Any]:
    check_stop()
    then, listed = _standing(engine, other), list(now.listed)
    only_lists = name in (FEEDBACK, FILTERS, DOMAINS)
    effect = float(np.abs(now.scores[listed] - then.scores[listed]).mean()) if listed else 0.0
    title, description = described(name, engine)
    on = name not in request.without
    return {
        "name": name,
        "title": title,
        "description": description,
        "on": on,
        "switchable": name in engine.switchable,
        "changed": len(set(now.listed) - set(then.listed)),
        "effect": None if only_lists else round(effect, 4),
        "method": f"switched {'off' if on else 'on'} and ranked again",
    }


def _standing(engine: Engine, request: Request) -> Standing:
    """Return how a request is answered, by exact scores of the whole catalogue."""
    with engine.switched(request):
        scores = engine.score_all(
            [engine.known(request)],
            request.query,
            request.fusing,
            engine.overrides(request),
            engine.boosts(request),
        )[0]
    history = engine.catalogue.indices(request.history)
    allowed = engine.rules.allowed(request, history).numpy()
    listed = best(scores, allowed, request.k, turns_of(engine.catalogue, request.domains))
    return Standing(log_softmax(scores), listed)


def _personal(engine: Engine, request: Request) -> dict[str, Any]:
    """Return what of the person decides, and how to do without."""
    known, most = engine.known(request), engine.config.prompt.history
    noun = engine.style.noun
    return {
        "on": HISTORY not in request.without and bool(request.history),
        "history": len(request.history),
        "read": min(len(known), most),
        "refused": len(engine.feedback_policy.refused(request.user)),
        "switch": {"without": [HISTORY]},
        "description": f"A list is made from what comes with the question: the {noun} of the history, the last {most} of"
        " them at most. The server keeps no history. Without it the list is that of somebody of whom nothing is known.",
    }
