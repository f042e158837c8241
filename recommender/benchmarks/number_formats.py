"""How exact a ranking is: the best items in each number format and beam width beside those of float32 over all items."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from recommender.constraints import Trie
from recommender.data.histories import Histories, leave_one_out
from recommender.inference.beam_search import rank, score
from recommender.inference.weight_cache import WeightCache
from recommender.model import RecommenderModel
from recommender.model.checkpoint import Checkpoint, from_pretrained
from recommender.numerics.sampling import evenly
from recommender.progress import Progress
from recommender.prompting.example import Example

FLOAT32, BFLOAT16, INT8 = "float32", "bfloat16", "int8"
FORMATS = (FLOAT32, BFLOAT16, INT8)
AT_ONCE = 8


def bench_agreement(
    source: str,
    users: int = 200,
    beams: Sequence[int] = (10, 50),
    formats: Sequence[str] = (FLOAT32, BFLOAT16),
    k: int = 10,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Rank for an even sample of users what the checkpoint `source` recommends after all but their last item.

    Returns a row for each format and search. `top k`: share of the exact top `k` (float32, every unseen item scored) that
    was found; over all items it tells what rounding costs, with beams what the width costs too. `first`: share of users
    whose best item is the same. `lost`: exact log-probability that an item of the list has less than one of the exact
    list. `proven`: share of the lists that the search itself knew to miss nothing.
    Raises CheckpointError, AssetError or DataError.
    """
    checkpoint = from_pretrained(source, None, progress)
    prompts, allowed = _asked(checkpoint, users)
    model = in_format(checkpoint.model, FLOAT32)
    exact = _scores(model, prompts, allowed, checkpoint.builder.prefix)
    best = np.argsort(-exact, axis=1, kind="stable")[:, :k]
    rows = []
    for number, name in enumerate(formats):
        if progress:
            progress(f"ranking in {name}", number, len(formats))
        model = in_format(checkpoint.model, name)
        for search, found, proven in _searches(model, prompts, allowed, checkpoint.builder.prefix, beams, k):
            row = {"format": name, "search": search, "users": len(prompts), **_compared(exact, best, found)}
            rows.append(row | {"proven": proven})
    return rows


def in_format(model: RecommenderModel, name: str) -> RecommenderModel:
    """Return a copy of a model whose base is in `float32`, `bfloat16`, or `int8` (in 8 bits over float32)."""
    model = copy.deepcopy(model).eval()
    model.config = model.config.updated({"decoding.int8": name == INT8})
    dtype = torch.bfloat16 if name == BFLOAT16 else torch.float32
    for key, parameter in model.peft.named_parameters():
        if "lora_" not in key:
            parameter.data = parameter.data.to(dtype)
    return model


def _asked(checkpoint: Checkpoint, users: int) -> tuple[list[Example], torch.Tensor]:
    """Return the prompts of an even sample of users, in the order of their lengths, and bool [users, items], unseen."""
    config = checkpoint.config.data
    histories = Histories.load(
        config.interactions, checkpoint.catalogue, config.columns, minimum_rating=config.minimum_rating
    )
    split = leave_one_out(histories)
    having = np.flatnonzero(split.test >= 0)
    chosen = having[evenly(len(having), users)]
    known = [split.history_for("test")[user] for user in chosen]
    prompts = [checkpoint.builder.prompt(items) for items in known]
    order = np.argsort([len(prompt) for prompt in prompts], kind="stable")
    allowed = torch.ones(len(order), len(checkpoint.catalogue), dtype=torch.bool)
    for row, user in enumerate(order):
        allowed[row, torch.from_numpy(known[user])] = False
    return [prompts[user] for user in order], allowed


def _searches(
    model: RecommenderModel,
    prompts: Sequence[Example],
    allowed: torch.Tensor,
    prefix: np.ndarray,
    beams: Sequence[int],
    k: int,
) -> Iterator[tuple[str, np.ndarray, float]]:
    """Yield the name of each search, the items that it finds [users, k], -1 where it finds fewer, and the share proven."""
    weights = WeightCache(model)
    scores = _scores(weights, prompts, allowed, prefix)
    yield "all items", np.argsort(-scores, axis=1, kind="stable")[:, :k], 1.0
    if model.ids.levels == 1:
        return  # whatever the width, all items are scored
    trie = Trie.from_codes(model.ids.codes, model.ids.sizes, model.device)
    for beam in beams:
        found, proven = np.full((len(prompts), k), -1), 0
        for part in _parts(len(prompts)):
            ranked = rank(weights, prompts[part], trie, k, beam, allowed[part], prefix)
            for row, one in enumerate(ranked, start=part.start):
                found[row, : len(one.items)] = one.items
            proven += sum(one.proven for one in ranked)
        yield f"{beam} beams", found, proven / len(prompts)


def _scores(weights: WeightCache, prompts: Sequence[Example], allowed: torch.Tensor, prefix: np.ndarray) -> np.ndarray:
    """Return log-probabilities [users, items] of all items; -inf for those that may not be shown."""
    items = range(allowed.shape[1])
    parts = [score(weights, prompts[part], items, instruction=prefix) for part in _parts(len(prompts))]
    return np.where(allowed.numpy(), np.concatenate(parts), -np.inf)


def _parts(count: int) -> Iterator[slice]:
    yield from (slice(start, min(start + AT_ONCE, count)) for start in range(0, count, AT_ONCE))


def _compared(exact: np.ndarray, best: np.ndarray, found: np.ndarray) -> dict[str, float]:
    same = [len(np.intersect1d(one, other)) / len(one) for one, other in zip(best, found, strict=True)]
    here = found >= 0
    of_found = np.take_along_axis(exact, found.clip(0), axis=1)
    lost = np.take_along_axis(exact, best, axis=1) - of_found
    return {
        f"top {best.shape[1]}": float(np.mean(same)),
        "first": float((best[:, 0] == found[:, 0]).mean()),
        "lost": float(lost[here].mean()),
    }
