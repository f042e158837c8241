"""Constrained beam search over the trie with one shared prefill: item indices and log-probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from recommender.errors import RecommenderError
from recommender.examples import Batch, Example, collate
from recommender.model import RecommenderModel
from recommender.trie import Trie


@dataclass(frozen=True)
class Ranking:
    """The items of one prompt, best first, and their scores: sums of log-probabilities over the levels."""

    items: np.ndarray
    scores: np.ndarray


class _Beams:
    """The state of a batch of beam searches. All tensors [prompts, beams]; a dead beam has score -inf."""

    def __init__(self, prompts: int, trie: Trie, device: torch.device) -> None:
        self.states = torch.full((prompts, 1), trie.root, dtype=torch.long, device=device)
        self.scores = torch.zeros(prompts, 1, device=device)

    def extend(self, logp: Tensor, trie: Trie, level: int, alive: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """Replace the beams by the best `width` of their living children.

        `logp` [prompts, beams, codes], `alive` [prompts, states]. Returns each new beam's parent and code, both
        [prompts, beams]; one top-k over all children at once.
        """
        codes, following = trie.children(self.states, level)
        rows = torch.arange(len(alive), device=alive.device)[:, None, None]
        living = (following >= 0) & alive[rows, following.clamp_min(0)]
        gathered = logp.gather(2, codes.clamp_min(0)) + self.scores[..., None]
        gathered = gathered.masked_fill(~living, -torch.inf)
        fan_out = codes.shape[-1]
        self.scores, best = gathered.flatten(1).topk(min(width, gathered.shape[1] * fan_out))
        self.states = following.flatten(1).gather(1, best).clamp_min(0)
        return best // fan_out, codes.flatten(1).gather(1, best).clamp_min(0)


@torch.no_grad()
def rank(
    model: RecommenderModel,
    prompts: Sequence[Example],
    trie: Trie,
    k: int,
    beam: int,
    allowed: Tensor | None = None,
) -> list[Ranking]:
    """Return for each prompt its best `k` items that are allowed.

    `allowed`: bool [prompts, items], None = all. What is not allowed is cut from the trie before the search, so the
    result holds min(k, allowed items) entries whenever `beam` >= k. The search is exact when `beam` is at least the
    number of living prefixes of each level but the last; with one level it is exact always. Raises RecommenderError
    if the model computes NaN.
    """
    if allowed is None:
        allowed = torch.ones(len(prompts), trie.items, dtype=torch.bool)
    alive = trie.alive(allowed.to(model.device))
    batch = collate([[prompt] for prompt in prompts]).to(model.device)
    cache = DynamicCache() if trie.levels > 1 else None
    hidden = model.read(model.embed(batch), batch.positions, batch.mask, cache)
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=model.device)
    last = hidden[torch.arange(len(prompts)), lengths - 1][:, None]
    beams = _Beams(len(prompts), trie, model.device)
    tree = _Tree(batch, lengths)
    width = max(beam, k)
    for level in range(trie.levels):
        logp = _log_probabilities(model, last, level)
        parents, codes = beams.extend(logp, trie, level, alive, width)
        if level + 1 < trie.levels:
            last = tree.step(model, parents, codes + int(model.offsets[level]), cache)
    return [_ranking(trie, states, scores, k) for states, scores in zip(beams.states, beams.scores, strict=True)]


class _Tree:
    """The beams as extra positions behind the prompts: they read the shared prompt cache, which is never copied.

    Each step appends one position a beam; the mask lets a position see its prompt and its own ancestors only.
    """

    def __init__(self, batch: Batch, lengths: Tensor) -> None:
        self.lengths = lengths
        self.prompt = torch.arange(batch.tokens.shape[1], device=lengths.device)[None] < lengths[:, None]
        self.ancestors: Tensor | None = None  # [prompts, beams, positions behind the prompt]
        self.depth = 0

    def step(self, model: RecommenderModel, parents: Tensor, codes: Tensor, cache: DynamicCache | None) -> Tensor:
        """Feed one code a beam; returns the hidden states [prompts, beams, hidden]."""
        prompts, beams = codes.shape
        own = torch.eye(beams, dtype=torch.bool, device=codes.device).expand(prompts, -1, -1)
        if self.ancestors is not None:
            inherited = self.ancestors.gather(1, parents[..., None].expand(-1, -1, self.ancestors.shape[2]))
            own = torch.cat([inherited, own], 2)
        self.ancestors = own
        mask = torch.cat([self.prompt[:, None].expand(-1, beams, -1), own], 2)[:, None]
        positions = (self.lengths + self.depth)[:, None].expand(-1, beams)
        self.depth += 1
        return model.read(model.code_rows(codes), positions, mask, cache)


def _log_probabilities(model: RecommenderModel, hidden: Tensor, level: int) -> Tensor:
    """Log-softmax over all codes of the level; the trie masks afterwards, so scores do not depend on what is allowed."""
    logits = model.code_logits(hidden, level).float()
    if torch.isnan(logits).any():
        raise RecommenderError("the model computed NaN scores; nothing was ranked", "check the checkpoint's weights")
    return torch.log_softmax(logits, -1)


def _ranking(trie: Trie, states: Tensor, scores: Tensor, k: int) -> Ranking:
    living = torch.isfinite(scores)
    items = trie.item_of(states[living][:k])
    return Ranking(items.cpu().numpy(), scores[living][:k].cpu().numpy())


@torch.no_grad()
def score(
    model: RecommenderModel, prompts: Sequence[Example], candidates: Sequence[int], chunk: int = 256
) -> np.ndarray:
    """Score given items exactly, without a beam: log-probabilities [prompts, candidates].

    With one level it costs one prefill a prompt; with more, one more pass of all candidates through the shared prefix.
    """
    batch = collate([[prompt] for prompt in prompts]).to(model.device)
    levels = model.ids.codes.shape[1]
    cache = DynamicCache() if levels > 1 else None
    hidden = model.read(model.embed(batch), batch.positions, batch.mask, cache)
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=model.device)
    first = _log_probabilities(model, hidden[torch.arange(len(prompts)), lengths - 1][:, None], 0)
    codes = torch.from_numpy(model.ids.codes[np.asarray(candidates, dtype=np.int64)]).to(model.device)
    total = first[:, 0][:, codes[:, 0]]
    for start in range(0, len(codes) if levels > 1 else 0, chunk):
        part = codes[start : start + chunk]
        total[:, start : start + chunk] += _score_rest(model, part, lengths, batch, cache)
        cache.crop(batch.tokens.shape[1])  # type: ignore[union-attr]
    return total.cpu().numpy()


def _score_rest(
    model: RecommenderModel, codes: Tensor, lengths: Tensor, batch: Batch, cache: DynamicCache | None
) -> Tensor:
    """Return the summed log-probabilities [prompts, candidates] of all codes after the first."""
    prompts, total = len(lengths), torch.zeros(len(lengths), len(codes), device=codes.device)
    tree = _Tree(batch, lengths)
    everyone = torch.arange(len(codes), device=codes.device).expand(prompts, -1)
    for level in range(codes.shape[1] - 1):
        fed = (codes[:, level] + int(model.offsets[level])).expand(prompts, -1)
        hidden = tree.step(model, everyone, fed, cache)
        logp = _log_probabilities(model, hidden, level + 1)
        total += logp.gather(2, codes[:, level + 1].expand(prompts, -1)[..., None])[..., 0]
    return total
