"""The number that decides when a stage stops: higher is better."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from recommender.config import StageConfig
from recommender.constraints import Trie
from recommender.data.histories import Split
from recommender.inference import beam_search
from recommender.inference.weight_cache import WeightCache
from recommender.model import RecommenderModel
from recommender.numerics.gains import single_target_ndcg
from recommender.numerics.sampling import evenly
from recommender.prompting.builder import ExampleBuilder
from recommender.prompting.example import Example
from recommender.training.epochs import as_batch, batches

K = 10
PROMPTS = 16


def validation_ndcg(
    model: RecommenderModel, builder: ExampleBuilder, split: Split, users: int, beam: int
) -> float | None:
    """Return NDCG@10 of the validation targets of at most `users` evenly chosen users, seen items removed.

    None if nobody has a target: there is nothing to choose the best weights by.
    """
    having = np.flatnonzero(split.validation >= 0)
    if not len(having):
        return None
    chosen = having[evenly(len(having), users)]
    histories = split.history_for("validation")
    ranked = rank_histories(model, builder, [histories[user] for user in chosen], K, beam)
    targets = split.validation[chosen]
    ranks = [_rank_of(target, items) for items, target in zip(ranked, targets, strict=True)]
    return float(single_target_ndcg(np.array(ranks), K).mean())


def _rank_of(target: int, items: np.ndarray) -> int:
    """Return the place of a target in a list, counted from 1; one behind its end where it is not in it."""
    return int(np.flatnonzero(items == target)[0]) + 1 if target in items else K + 1


def rank_histories(
    model: RecommenderModel, builder: ExampleBuilder, histories: Sequence[np.ndarray], k: int, beam: int
) -> list[np.ndarray]:
    """Return the best `k` unseen items of each history, in the order given; prompts of like length go together."""
    weights = WeightCache(model)
    trie = Trie.from_codes(model.ids.codes, model.ids.sizes, device=model.device)
    prompts = [builder.prompt(history) for history in histories]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    ranked: list[np.ndarray] = [np.zeros(0, dtype=np.int64)] * len(prompts)
    for start in range(0, len(order), PROMPTS):
        part = order[start : start + PROMPTS]
        allowed = torch.ones(len(part), trie.items, dtype=torch.bool)
        for row, index in enumerate(part):
            allowed[row, torch.from_numpy(histories[index])] = False
        found = beam_search.rank(weights, [prompts[i] for i in part], trie, k, beam, allowed, builder.prefix)
        for index, ranking in zip(part, found, strict=True):
            ranked[index] = ranking.items
    return ranked


@torch.no_grad()
def held_out_loss(model: RecommenderModel, examples: Sequence[Example], stage: StageConfig) -> float | None:
    """Return the mean cross-entropy a label over examples that were not trained on; None without any."""
    total, count = 0.0, 0
    for rows in batches(examples, stage, np.zeros(0, np.int64)):
        loss, labels = model(as_batch(rows, stage, np.zeros(0, np.int64)).to(model.device))
        total, count = total + float(loss), count + int(labels)
    return total / count if count else None
