"""Decision traces: everything that decided an answer, as data that JSON can hold; replayed, it comes out the same or it is
said what differs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from recommender.engine.engine import Engine
from recommender.engine.requests import RankedItem, Request, make_request
from recommender.model.checkpoint import package_versions
from recommender.prompting.builder import ExampleBuilder
from recommender.prompting.example import ITEM, TOKEN, Example
from recommender.store.traces import FORMAT
from recommender.store.traces import load as load
from recommender.store.traces import save as save
from recommender.strict.json_documents import json_text

#: nats by which two runs of the same weights may differ: other hardware and other batches add in another order
TOLERANCE = 1e-3
#: what says when a trace was made, and where the model lay; the rest is compared
_NOT_COMPARED = ("recorded", "model.source")


@dataclass(frozen=True)
class Difference:
    """One place of a trace at which a replay says something else."""

    where: str
    then: Any
    now: Any


def recorded_answer(engine: Engine, request: Request, item_id: str | None = None) -> dict[str, Any]:
    """Answer a request, or explain one item for its history, and return all that decided the answer.

    Raises RecommenderError as the engine does.
    """
    if item_id is None:
        answer = engine.answer(request.model_copy(update={"trace": True}))
        return trace_of(engine, request, answer.items)
    engine.check_parts(request.without)
    history, item = engine.known(request), engine.catalogue.index(item_id)
    with engine.switched(request):
        score = float(engine.score([history], [item], request.query, engine.overrides(request))[0, 0])
        for gains in (engine.ranker.query_gains(request.query), engine.boosts(request)):
            score += 0.0 if gains is None else float(gains[item])
    entry = RankedItem(1, engine.catalogue[item].item_id, engine.catalogue[item].title, score)
    items = engine.stream_justifications(request.model_copy(update={"trace": True}), [entry], together=True)
    return trace_of(engine, request, tuple(items), item_id)


def trace_of(
    engine: Engine, request: Request, items: Sequence[RankedItem], item_id: str | None = None
) -> dict[str, Any]:
    """Return the trace of an answer that was given with `trace` in its request. `item_id`: it explains this one item."""
    with engine.switched(request):
        return _trace_of(engine, request, items, item_id)


def _told_fields(request: Request) -> set[str]:
    """Return the fields that a trace tells; one that earlier versions did not have only where it says something."""
    return set(Request.model_fields) - {"trace"} - (set() if request.domains else {"domains"})


def _trace_of(engine: Engine, request: Request, items: Sequence[RankedItem], item_id: str | None) -> dict[str, Any]:
    history = engine.known(request)
    prompt = engine.ranker.prompts([history], request.query, engine.overrides(request))[0]
    indices = [engine.catalogue.index(item.item_id) for item in items]
    trace: dict[str, Any] = {
        "format": FORMAT,
        "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": identity(engine),
        "request": request.model_dump(mode="json", include=_told_fields(request)),
        "explains": None if item_id is None else items[0].item_id,
        "prompt": {"text": readable(engine, prompt), "positions": len(prompt), "sha256": _hash_of_prompt(prompt)},
        "trie": _trie(engine, request, item_id),
        "candidates": [] if item_id else _candidates(engine, request, history),
        "items": [asdict(item) for item in items],
        "modalities": _modalities(engine, request, history, indices),
    }
    if (gains := engine.ranker.query_gains(request.query)) is not None:
        trace["query"] = {item.item_id: round(float(gains[n]), 4) for item, n in zip(items, indices, strict=True)}
    return trace


def for_strangers(trace: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a trace that tells nothing of the machine: the model is called by its `name`, not by its folder."""
    return {**trace, "model": {**trace["model"], "source": name}}


def identity(engine: Engine) -> dict[str, Any]:
    """Return what answers hang on: checksums of the weights, base model, settings, catalogue, packages.

    `source` is where the model lies; a base model that lies in a folder is told by the folder's name.
    """
    settings = json.dumps(engine.config.model_dump(mode="json"), sort_keys=True).encode()
    bits = engine.config.decoding.bits
    return {
        "engine": engine.name,
        "source": engine.source,
        "base": _public_name(engine.config.base.llm),
        "config": hashlib.sha256(settings).hexdigest(),
        **({} if bits == 16 else {"bits": bits}),  # of what is rounded: a replay rounds alike
        "files": dict(engine.files),
        "catalogue": engine.catalogue.fingerprint,
        "items": len(engine.catalogue),
        "packages": package_versions(),
    }


def _public_name(base: str) -> str:
    path = Path(base)
    return path.name if path.is_absolute() or path.is_dir() else base


def readable(engine: Engine, prompt: Example) -> str:
    """Return a prompt as text; items stand as <item ID>, codes as <code N>, soft tokens as <soft>."""
    builder, parts, words = engine.builder, [], list[int]()
    for token, item, slot in zip(prompt.tokens.tolist(), prompt.items.tolist(), prompt.slots.tolist(), strict=True):
        is_word = slot == TOKEN and token < builder.vocabulary
        if is_word:
            words.append(token)
            continue
        parts += [_words(builder, words), _mark(engine, token, item, slot)]
        words = []
    return "".join([*parts, _words(builder, words)])


def _words(builder: ExampleBuilder, tokens: list[int]) -> str:
    return str(builder.tokenizer.decode(tokens)) if tokens else ""


def _mark(engine: Engine, token: int, item: int, slot: int) -> str:
    if slot == ITEM:
        return f"<item {engine.catalogue[item].item_id}>"
    return f"<code {token - engine.builder.vocabulary}>" if slot == TOKEN else "<soft>"


def _hash_of_prompt(prompt: Example) -> str:
    arrays = (prompt.tokens, prompt.items, prompt.slots)
    return hashlib.sha256(b"".join(np.ascontiguousarray(a, dtype="<i8").tobytes() for a in arrays)).hexdigest()


def _trie(engine: Engine, request: Request, item_id: str | None) -> dict[str, Any]:
    codes = engine.builder.code_tokens
    whole = {"levels": int(codes.shape[1]), "items": len(codes), "sha256": _hash_of(codes)}
    if item_id is not None:
        return whole
    allowed = engine.rules.allowed(request, engine.catalogue.indices(request.history)).numpy()
    return whole | {"allowed": int(allowed.sum()), "allowed_sha256": _hash_of(np.flatnonzero(allowed))}


def _hash_of(numbers: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(numbers, dtype="<i8").tobytes()).hexdigest()


def _candidates(engine: Engine, request: Request, history: np.ndarray) -> list[dict[str, Any]]:
    """Return what the search ended with, best first: the answer, and what came behind it."""
    allowed = engine.rules.allowed(request, engine.catalogue.indices(request.history))[None]
    boosts, overrides = engine.boosts(request), engine.overrides(request)
    width = max(request.k, engine.config.decoding.beam)
    ranking = engine.rank([history], width, allowed, request.query, request.fusing, overrides, boosts)[0]
    return [
        {"item_id": engine.catalogue[int(item)].item_id, "score": round(float(score), 5)}
        for item, score in zip(ranking.items, ranking.scores, strict=True)
    ]


def _modalities(engine: Engine, request: Request, history: np.ndarray, items: Sequence[int]) -> dict[str, list[float]]:
    effects = engine.contributions(history, items, request.query, engine.overrides(request)) if items else {}
    return {name: [round(float(value), 4) for value in values] for name, values in effects.items()}


def replay(engine: Engine, trace: Mapping[str, Any]) -> list[Difference]:
    """Answer a trace's request again and return where the two differ: in the model, in what was read, in what came out."""
    again = recorded_answer(engine, make_request(**trace["request"]), trace["explains"])
    plain = json.loads(json_text(again))
    return list(_differences(trace, plain, ""))


def _differences(then: Any, now: Any, where: str) -> Iterator[Difference]:
    if isinstance(then, dict) and isinstance(now, dict):
        for name in dict.fromkeys((*then, *now)):
            if (place := f"{where}.{name}" if where else name) not in _NOT_COMPARED:
                yield from _differences(then.get(name), now.get(name), place)
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for number, (old, new) in enumerate(zip(then, now, strict=True)):
            yield from _differences(old, new, f"{where}.{number}")
    elif not _same(then, now):
        yield Difference(where, then, now)


def _same(then: Any, now: Any) -> bool:
    numbers = isinstance(then, float | int) and isinstance(now, float | int)
    return abs(then - now) <= TOLERANCE if numbers else then == now
