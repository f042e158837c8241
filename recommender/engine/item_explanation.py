"""Why one item: its sentence, its evidence, its score, and what each modality and a query add to that."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from recommender.engine.justifying import evidence_as_dict
from recommender.engine.requests import Request
from recommender.engine.turns import of_domains
from recommender.justify import answers

if TYPE_CHECKING:
    from recommender.engine.engine import Engine


def explain_item(engine: Engine, request: Request, item_id: str) -> dict[str, Any]:
    """Explain one item for a request's history, as data that JSON can hold.

    `contributions` is empty where the engine cannot leave a modality out. Raises RecommenderError for unknown ids and
    domains.
    """
    engine.check_parts(request.without)
    of_domains(engine.catalogue, request.domains)  # they change no score, but a wrong one is told as for a list
    with engine.switched(request):
        return _explained(engine, request, engine.catalogue.index(item_id))


def _explained(engine: Engine, request: Request, item: int) -> dict[str, Any]:
    known, query, overrides = engine.known(request), request.query, engine.overrides(request)
    score = partial(engine.score, query=query, overrides=overrides)
    evidence = engine.justifier.evidence(known, [item], score, request.user)
    justification = engine.justifier.justify(evidence, request.user)[0]
    without = partial(engine.score_without, known, query=query, overrides=overrides)
    remarks = engine.justifier.remarks(evidence, known, without, overrides)[0]
    caveat = engine.justifier.caveats(known, [item], request.user)[0]
    effects = engine.contributions(known, [item], query, overrides)
    gains, boosts = engine.ranker.query_gains(query), engine.boosts(request)
    added = sum(float(more[item]) for more in (gains, boosts) if more is not None)
    entry = engine.catalogue[item]
    return {
        "item_id": entry.item_id,
        "title": entry.title,
        "score": float(score([known], [item])[0, 0]) + added,
        "query": None if gains is None else round(float(gains[item]), 4),
        "justification": " ".join(filter(None, (justification.text, remarks.text, caveat[1] if caveat else ""))),
        "written_by": justification.source,
        "effects_are": "Shapley values" if justification.evidence.shapley else "left out one by one",
        "rests_on": answers.rests_on(engine.catalogue, justification.evidence, engine.style),
        "evidence": evidence_as_dict(justification, engine.catalogue) | remarks.as_evidence(engine.catalogue),
        "contributions": {m: round(float(effect[0]), 4) for m, effect in effects.items()},
    }
