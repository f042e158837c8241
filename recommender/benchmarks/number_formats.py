"""How exact a ranking is in each number format and beam width, compared with float32 scores of all items."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from recommender.benchmarks import BFLOAT16, FLOAT32, INT4, INT8
from recommender.benchmarks import FORMATS as FORMATS
from recommender.benchmarks.synthetic import full_trie
from recommender.data.histories import Histories, leave_one_out
from recommender.inference.beam_search import rank, score
from recommender.inference.weight_cache import WeightCache
from recommender.model import RecommenderModel
from recommender.model.checkpoint import Checkpoint, from_pretrained
from recommender.numerics.sampling import evenly
from recommender.progress import Progress
from recommender.prompting.example import Example

AT_ONCE = 8


def bench_agreement(
    source: str,
    users: int = 200,
    beams: Sequence[int] = (10, 50),
    formats: Sequence[str] = (FLOAT32, BFLOAT16),
    k: int = 10,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Rank with the checkpoint `source` for an even sample of users, after all but their last item.

    Returns a row for each format and search. `top k`: share of the exact top `k` (float32, every unseen item scored)
    that is in the list; over all items it shows the cost of rounding, with beams also that of the width. `first`: share
    of users whose best item is the same. `lost`: mean difference in exact log-probability between the exact list and
    the list, place by place. `proven`: share of the lists that the search itself proves to be complete. Raises
    CheckpointError, AssetError or DataError.
    """
    checkpoint = from_pretrained(source, None, progress)
    prompts, allowed = prompts_of(checkpoint, users)
    exact_weights = WeightCache(in_format(checkpoint.model, FLOAT32))
    exact = scores_of(exact_weights, prompts, allowed, checkpoint.builder.prefix)
    best = np.argsort(-exact, axis=1, kind="stable")[:, :k]
    rows = []
    for number, name in enumerate(formats):
        if progress:
            progress(f"ranking in {name}", number, len(formats))
        model = in_format(checkpoint.model, name)
        for search, lists, proven in _searches(model, prompts, allowed, checkpoint.builder.prefix, beams, k):
            row = {"format": name, "search": search, "users": len(prompts), **_agreement(exact, best, lists)}
            rows.append(row | {"proven": proven})
    return rows


def in_format(model: RecommenderModel, name: str) -> RecommenderModel:
    """Return a copy of a model whose base is in `float32`, `bfloat16`, or rounded over float32: `int8`, `int4`."""
    model = copy.deepcopy(model).eval()
    model.config = model.config.updated({"decoding.bits": {INT8: 8, INT4: 4}.get(name, 16)})
    dtype = torch.bfloat16 if name == BFLOAT16 else torch.float32
    for key, parameter in model.peft.named_parameters():
        if "lora_" not in key:
            parameter.data = parameter.data.to(dtype)
    return model


def prompts_of(checkpoint: Checkpoint, users: int) -> tuple[list[Example], torch.Tensor]:
    """Return the prompts of an even sample of users, in order of length, and bool [users, items], true for unseen items."""
    config = checkpoint.config.data
    histories = Histories.load(config.interactions, checkpoint.catalogue, config, minimum_rating=config.minimum_rating)
    split = leave_one_out(histories)
    with_target = np.flatnonzero(split.test >= 0)
    sample = with_target[evenly(len(with_target), users)]
    inputs = [split.history_for("test")[user] for user in sample]
    prompts = [checkpoint.builder.prompt(history) for history in inputs]
    order = np.argsort([len(prompt) for prompt in prompts], kind="stable")
    allowed = torch.ones(len(order), len(checkpoint.catalogue), dtype=torch.bool)
    for row, user in enumerate(order):
        allowed[row, torch.from_numpy(inputs[user])] = False
    return [prompts[user] for user in order], allowed


def _searches(
    model: RecommenderModel,
    prompts: Sequence[Example],
    allowed: torch.Tensor,
    prefix: np.ndarray,
    beams: Sequence[int],
    k: int,
) -> Iterator[tuple[str, np.ndarray, float]]:
    """Yield the name of each search, its lists of items [users, k], padded with -1, and the share of proven lists."""
    weights = WeightCache(model)
    scores = scores_of(weights, prompts, allowed, prefix)
    yield "all items", np.argsort(-scores, axis=1, kind="stable")[:, :k], 1.0
    if model.ids.levels == 1:
        return  # whatever the width, all items are scored
    trie = full_trie(model)
    for beam in beams:
        lists, proven = np.full((len(prompts), k), -1), 0
        for part in _batches(len(prompts)):
            rankings = rank(weights, prompts[part], trie, k, beam, allowed[part], prefix)
            for row, ranking in enumerate(rankings, start=part.start):
                lists[row, : len(ranking.items)] = ranking.items
            proven += sum(ranking.proven for ranking in rankings)
        yield f"{beam} beams", lists, proven / len(prompts)


def scores_of(
    weights: WeightCache, prompts: Sequence[Example], allowed: torch.Tensor, prefix: np.ndarray
) -> np.ndarray:
    """Return log-probabilities [users, items] of all items, -inf for items that are not allowed."""
    items = range(allowed.shape[1])
    parts = [score(weights, prompts[part], items, instruction=prefix) for part in _batches(len(prompts))]
    return np.where(allowed.numpy(), np.concatenate(parts), -np.inf)


def _batches(count: int) -> Iterator[slice]:
    yield from (slice(start, min(start + AT_ONCE, count)) for start in range(0, count, AT_ONCE))


def _agreement(exact: np.ndarray, best: np.ndarray, lists: np.ndarray) -> dict[str, float]:
    """Compare lists [users, k] with the best items [users, k] by exact scores [users, items]."""
    shared = [len(np.intersect1d(items, listed)) / len(items) for items, listed in zip(best, lists, strict=True)]
    lost = np.take_along_axis(exact, best, axis=1) - np.take_along_axis(exact, lists.clip(0), axis=1)
    return {
        f"top {best.shape[1]}": float(np.mean(shared)),
        "first": float((best[:, 0] == lists[:, 0]).mean()),
        "lost": float(lost[lists >= 0].mean()),
    }
