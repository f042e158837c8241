"""Adds a per-item score bias by shifting item embeddings along the mean final hidden state.

Scores are products of item embeddings and final hidden states, and these states share most of their length. An embedding
that is shifted along their mean scores higher, or lower, by about the same amount for every user, so no separate bias
vector has to be stored, exported or served. Training may start with a popularity bias, and new items are calibrated by it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from recommender.inference.beam_search import last_states
from recommender.inference.weight_cache import WeightCache
from recommender.model import RecommenderModel
from recommender.numerics.sampling import evenly
from recommender.prompting.builder import ExampleBuilder

HISTORIES = 128
BATCH = 16
LIST = 10
LARGEST_BIAS = 100.0  # logits; a larger bias changes no list


def sample_histories(histories: Sequence[np.ndarray], count: int = HISTORIES) -> list[np.ndarray]:
    """Return an even sample of histories, fewer if there are fewer."""
    return [histories[i] for i in evenly(len(histories), count)]


def final_states(model: RecommenderModel, builder: ExampleBuilder, histories: Sequence[np.ndarray]) -> Tensor:
    """Return the final hidden states [histories, hidden] of histories (catalogue indices, oldest first)."""
    prompts = [builder.prompt(history) for history in histories]
    weights = WeightCache(model)
    return torch.cat([last_states(weights, prompts[n : n + BATCH]) for n in range(0, len(prompts), BATCH)])


@torch.no_grad()
def add_bias(model: RecommenderModel, items: np.ndarray, bias: np.ndarray, mean_state: Tensor) -> None:
    """Raise the scores of `items` [n] by about `bias` [n] logits, in place; `mean_state` [hidden]: mean final state.

    Only with one level: with more, items share codes.
    """
    codes = model.codes[torch.from_numpy(items).to(model.device), 0].to(model.rows.device)
    amounts = torch.from_numpy(bias.astype(np.float32)).to(model.rows.device)
    direction = (mean_state / mean_state.square().sum()).to(model.rows.device)
    model.rows[codes] += amounts[:, None] * direction


@torch.no_grad()
def calibrate_exposure(
    model: RecommenderModel, builder: ExampleBuilder, histories: Sequence[np.ndarray], items: np.ndarray, times: float
) -> float:
    """Bias the scores of `items` [n], in place, until each is listed `times` as often as another item on average.

    Measured on the lists of ten of an even sample of `histories`, none of which holds any of `items`. Returns the share
    of the list places that they have afterwards. Only with one level.
    """
    sample = sample_histories(histories)
    last = final_states(model, builder, sample)
    mean_state = last.mean(0)
    scores = last @ model.all_embeddings().T
    for row, history in zip(scores, sample, strict=True):
        row[torch.from_numpy(history).to(row.device)] = -torch.inf
    biased = torch.zeros(scores.shape[1], dtype=torch.bool, device=scores.device)
    biased[torch.from_numpy(items).to(scores.device)] = True
    rise = (last @ mean_state / mean_state.square().sum())[:, None] * biased

    def share(bias: float) -> float:
        best = (scores + bias * rise).topk(min(LIST, scores.shape[1])).indices
        return float(biased[best].float().mean())

    target = times * len(items) / (times * len(items) + scores.shape[1] - len(items))
    low, high = -LARGEST_BIAS, LARGEST_BIAS
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if share(middle) < target else (low, middle)
    add_bias(model, items, np.full(len(items), high), mean_state)
    return share(high)


def init_popularity_bias(
    model: RecommenderModel,
    builder: ExampleBuilder,
    histories: Sequence[np.ndarray],
    strength: float,
    counts: np.ndarray | None = None,
) -> None:
    """Bias each item's score, in place, by `strength` times the logarithm of its count in `histories`.

    With few histories training is too short to learn popularity. `counts` [items]: others, by default those of the
    histories. Only with one level.
    """
    if counts is None:
        counts = np.bincount(np.concatenate(histories), minlength=len(model.codes))
    bias = strength * np.log1p(counts)
    mean_state = final_states(model, builder, sample_histories(histories)).mean(0)
    add_bias(model, np.arange(len(model.codes)), bias - bias.mean(), mean_state)
