"""The validation that decides which weights are kept and when a stage stops; higher is better."""

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
from recommender.training.epochs import batches
from recommender.training.processes import ALONE, Processes
from recommender.training.sharing import shared_parts

K = 10
PROMPTS = 16


def validation_ndcg(
    model: RecommenderModel,
    builder: ExampleBuilder,
    split: Split,
    users: int,
    beam: int,
    processes: Processes = ALONE,
) -> float | None:
    """Return NDCG@10 of the validation targets of an even sample of at most `users` users, seen items removed.

    None if no user has a target. Each process ranks for its share of the users, and all return the same.
    """
    with_target = np.flatnonzero(split.validation >= 0)
    if not len(with_target):
        return None
    sample = with_target[evenly(len(with_target), users)]
    histories, share = split.history_for("validation"), processes.share(sample)
    known = [histories[user] for user in share]
    ranks = target_ranks(model, builder, known, split.validation[share].tolist(), K, beam)
    return float(single_target_ndcg(np.array(processes.joined(ranks, len(sample))), K).mean())


def target_ranks(
    model: RecommenderModel,
    builder: ExampleBuilder,
    histories: Sequence[np.ndarray],
    targets: Sequence[int],
    k: int,
    beam: int,
) -> list[int]:
    """Return the rank of each history's target among its `k` best unseen items, from 1; k + 1 if it is not listed."""
    lists = rank_histories(model, builder, histories, k, beam)
    return [_rank_of(target, items, k) for items, target in zip(lists, targets, strict=True)]


def _rank_of(target: int, items: np.ndarray, k: int) -> int:
    return int(np.flatnonzero(items == target)[0]) + 1 if target in items else k + 1


def rank_histories(
    model: RecommenderModel,
    builder: ExampleBuilder,
    histories: Sequence[np.ndarray],
    k: int,
    beam: int,
    seen: bool = False,
) -> list[np.ndarray]:
    """Return the best `k` unseen items of each history, in the order given; prompts of similar length share a batch.

    `seen`: list items of the history like all others, as some published protocols do.
    """
    weights = WeightCache(model)
    trie = Trie.from_codes(model.ids.codes, model.ids.sizes, device=model.device)
    prompts = [builder.prompt(history) for history in histories]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    ranked: list[np.ndarray] = [np.zeros(0, dtype=np.int64)] * len(prompts)
    for start in range(0, len(order), PROMPTS):
        part = order[start : start + PROMPTS]
        allowed = torch.ones(len(part), trie.items, dtype=torch.bool)
        for row, index in enumerate(() if seen else part):
            allowed[row, torch.from_numpy(histories[index])] = False
        rankings = beam_search.rank(weights, [prompts[i] for i in part], trie, k, beam, allowed, builder.prefix)
        for index, ranking in zip(part, rankings, strict=True):
            ranked[index] = ranking.items
    return ranked


@torch.no_grad()
def held_out_loss(
    model: RecommenderModel,
    examples: Sequence[Example],
    stage: StageConfig,
    prefix: np.ndarray,
    processes: Processes = ALONE,
) -> float | None:
    """Return the mean cross-entropy for each label of held-out examples; None without any. `prefix`: what they share.

    Each process reads its share of the batches, and all return the same.
    """
    total, count = 0.0, 0
    for rows in batches(examples, stage, prefix):
        (part,) = shared_parts(rows, processes, 1, prefix)
        loss, labels = model(part.to(model.device))
        total, count = total + float(loss), count + int(labels)
    total, labelled = processes.totals(total, count)
    return total / labelled if labelled else None
