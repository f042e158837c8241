"""Scores that add_bias: rows moved along the mean last state, so that an item's score rises for whoever asks.

Scores are products of rows and last states, and last states have most of their length in common. A row that is moved along
what they have in common scores higher, or lower, by about as much for every user; no bias has to be kept, exported or
served. Training may start from it (an item is as likely as it is popular), and items that come later get their share by it.
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
FARTHEST = 100.0  # logits; beyond this nothing changes any more


def sampled(histories: Sequence[np.ndarray], count: int = HISTORIES) -> list[np.ndarray]:
    """Return an even sample of histories, fewer if there are fewer."""
    return [histories[i] for i in evenly(len(histories), count)]


def states(model: RecommenderModel, builder: ExampleBuilder, histories: Sequence[np.ndarray]) -> Tensor:
    """Return the last states [histories, hidden] behind histories (catalogue indices, oldest first)."""
    prompts = [builder.prompt(history) for history in histories]
    weights = WeightCache(model)
    return torch.cat([last_states(weights, prompts[n : n + BATCH]) for n in range(0, len(prompts), BATCH)])


@torch.no_grad()
def add_bias(model: RecommenderModel, items: np.ndarray, by: np.ndarray, common: Tensor) -> None:
    """Raise the scores of `items` [n] by about `by` [n], in logits, in place; `common` [hidden] is the mean last state.

    Only for one token an item: with more, an item shares its codes with others.
    """
    codes = model.codes[torch.from_numpy(items).to(model.device), 0]
    amounts = torch.from_numpy(by.astype(np.float32)).to(model.device)
    model.rows[codes] += amounts[:, None] * (common / common.square().sum())


@torch.no_grad()
def calibrate_exposure(
    model: RecommenderModel, builder: ExampleBuilder, histories: Sequence[np.ndarray], items: np.ndarray, times: float
) -> float:
    """Lean the scores of `items` [n], in place, until one has a place in a list `times` as often as one of the others.

    Judged by the lists of ten of an even sample of `histories`, in which none of `items` stands. Returns the share of the
    places that they have now. Only for one token an item.
    """
    chosen = sampled(histories)
    last = states(model, builder, chosen)
    common = last.mean(0)
    scores = last @ model.all_items()[0].T
    for row, history in zip(scores, chosen, strict=True):
        row[torch.from_numpy(history).to(row.device)] = -torch.inf
    new = torch.zeros(scores.shape[1], dtype=torch.bool, device=scores.device)
    new[torch.from_numpy(items).to(scores.device)] = True
    rise = (last @ common / common.square().sum())[:, None] * new

    def share(by: float) -> float:
        best = (scores + by * rise).topk(min(LIST, scores.shape[1])).indices
        return float(new[best].float().mean())

    wanted = times * len(items) / (times * len(items) + scores.shape[1] - len(items))
    low, high = -FARTHEST, FARTHEST
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if share(middle) < wanted else (low, middle)
    add_bias(model, items, np.full(len(items), high), common)
    return share(high)


def init_popularity_bias(
    model: RecommenderModel, builder: ExampleBuilder, histories: Sequence[np.ndarray], strength: float
) -> None:
    """Lean every item's score, in place, towards the logarithm of how often it stands in `histories`, times `strength`.

    With few histories training has no time to learn what counting tells. Only for one token an item.
    """
    counts = np.bincount(np.concatenate(histories), minlength=len(model.codes))
    wanted = strength * np.log1p(counts)
    common = states(model, builder, sampled(histories)).mean(0)
    add_bias(model, np.arange(len(model.codes)), wanted - wanted.mean(), common)
