"""Constrained beam search over the trie with one shared prefill; returns item indices and log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recommender.constraints import Mask, Trie
from recommender.errors import RecommenderError
from recommender.inference.attention import BeamAttention, PromptAttention, PromptCache
from recommender.inference.prompt_packing import groups_of, pack_prompts, padded
from recommender.inference.weight_cache import WeightCache
from recommender.prompting.example import Example


@dataclass(frozen=True)
class Ranking:
    """The items of one prompt, best first, and their scores: sums of log-probabilities over the levels.

    `proven`: no item that the search pruned can have a higher score, so the list equals that of exhaustive scoring.
    """

    items: np.ndarray
    scores: np.ndarray
    proven: bool = True


@torch.no_grad()
def rank(
    weights: WeightCache,
    prompts: Sequence[Example],
    trie: Trie,
    k: int,
    beam: int,
    allowed: Tensor | None = None,
    instruction: np.ndarray | None = None,
    exact: bool = False,
) -> list[Ranking]:
    """Return for each prompt its best `k` items that are allowed.

    `allowed`: bool [prompts, items], None = all. Forbidden items are cut from the trie before the search, so the result
    holds min(k, allowed items) entries whenever `beam` >= k; a prompt for which nothing is allowed is not even read. The
    search is exact if `beam` is at least the number of allowed prefixes of each level but the last; with one level it
    always is. `instruction`: token ids that prompts begin with; the prefill of this common part is kept between calls.
    `exact`: double the beam width, with the same prefill, until every list is proven. Raises RecommenderError if the
    model computes NaN.
    """
    if allowed is None:
        return _rank(weights, prompts, trie, k, beam, None, instruction, exact)
    has_items = allowed.any(1).tolist()
    asked = [prompt for prompt, has in zip(prompts, has_items, strict=True) if has]
    if not asked:
        return [_nothing() for _ in prompts]
    part = allowed if all(has_items) else allowed[torch.tensor(has_items, device=allowed.device)]
    rankings = iter(_rank(weights, asked, trie, k, beam, part, instruction, exact))
    return [next(rankings) if has else _nothing() for has in has_items]


def _rank(
    weights: WeightCache,
    prompts: Sequence[Example],
    trie: Trie,
    k: int,
    beam: int,
    allowed: Tensor | None,
    instruction: np.ndarray | None,
    exact: bool,
) -> list[Ranking]:
    search = Search(weights, prompts, instruction)
    mask = trie.mask(None if allowed is None else allowed[torch.tensor(search.order, device=allowed.device)])
    width = _width(max(beam, k), allowed, weights.model.device)
    rankings = _rankings(search, run_search(search, trie, mask, width), trie, k)
    while exact and not all(ranking.proven for ranking in rankings):
        width *= 2
        search.restart()
        rankings = _rankings(search, run_search(search, trie, mask, width), trie, k)
    return rankings


def _width(wanted: int, allowed: Tensor | None, device: torch.device) -> int:
    """Return how many beams are worth computing: no level has more living prefixes than there are allowed items.

    Where shapes must recur it is what was wanted.
    """
    return wanted if allowed is None or padded(device) else min(wanted, int(allowed.sum(1).max()))


def _nothing() -> Ranking:
    return Ranking(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))


def run_search(search: Search, trie: Trie, mask: Mask | None, width: int) -> Beams:
    """Return the beams [prompts, up to `width`] of the last level, best first; `search` must be at its start."""
    beams = Beams(len(search.lengths), trie, search.lengths.device)
    logp = search.log_probabilities(0)
    for level in range(trie.levels):
        parents, codes = beams.extend(logp, trie, level, mask, width)
        if level + 1 < trie.levels:
            search.advance(parents, codes, level)
            logp = search.log_probabilities(level + 1)
    return beams


@torch.no_grad()
def score(
    weights: WeightCache,
    prompts: Sequence[Example],
    candidates: Sequence[int],
    chunk: int = 256,
    instruction: np.ndarray | None = None,
) -> np.ndarray:
    """Score given items exactly, without a beam: log-probabilities [prompts, candidates], float32.

    With one level it costs one prefill a prompt; with more, passes of `chunk` candidates through the shared prefix.
    `instruction` as in `rank`. Raises RecommenderError if the model computes NaN.
    """
    search = Search(weights, prompts, instruction)
    first = search.log_probabilities(0)[:, 0]
    codes = torch.from_numpy(weights.model.ids.codes[np.asarray(candidates, dtype=np.int64)])
    codes = codes.to(weights.model.device)
    total = first[:, codes[:, 0]]
    for start in range(0, len(codes) if weights.model.ids.levels > 1 else 0, chunk):
        part = slice(start, start + chunk)
        total[:, part] += _score_rest(search, codes[part])
    if bool(torch.isnan(total).any()):
        raise _not_a_number()
    scores = np.empty(total.shape, dtype=np.float32)
    scores[search.order] = total.cpu().numpy()
    return scores


@torch.no_grad()
def last_states(weights: WeightCache, prompts: Sequence[Example], instruction: np.ndarray | None = None) -> Tensor:
    """Return the hidden state at the end of each prompt, [prompts, hidden]: its products with rows score the first level.

    `instruction` as in `rank`.
    """
    search = Search(weights, prompts, instruction)
    states = torch.empty_like(search.hidden[:, 0])
    states[search.order] = search.hidden[:, 0]
    return states


class Search:
    """The hidden states of a batch of prompts and, step by step, of their beams.

    Prompts are sorted by length: `order[i]` is the caller's index of the i-th one here.
    """

    def __init__(self, weights: WeightCache, prompts: Sequence[Example], instruction: np.ndarray | None) -> None:
        model = weights.model
        self.weights, self.model, self.stack = weights, model, weights.stack()
        self.order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        ordered = [prompts[i] for i in self.order]
        shared = _shared_length(ordered, instruction)
        prefix = weights.prefix(instruction) if shared and instruction is not None else None
        if prefix is not None:
            prefix = [(keys[:, :shared], values[:, :shared]) for keys, values in prefix]
        groups = list(groups_of([len(prompt) - shared for prompt in ordered], model.device, padded(model.device)))
        self.cache = PromptCache(groups, prefix)
        batch, positions, last = pack_prompts(ordered, groups, shared, model.device)
        self.lengths = torch.tensor([len(prompt) for prompt in ordered], device=model.device)
        embedded = model.embed(batch, catalogue=weights.items())[0]
        ends = (last + 1).tolist()
        parts = [slice(end - len(prompt) + shared, end) for prompt, end in zip(ordered, ends, strict=True)]
        for prompt, part in zip(ordered, parts, strict=True):
            if prompt.overrides:
                model.override_vectors(embedded[part], batch.items[0, part], batch.slots[0, part], prompt.overrides)
        # [prompts, beams, hidden]
        self.start = self._states(embedded, positions, last, batch.slots[0], parts)[:, None]
        self.restart()

    def _states(
        self, embedded: Tensor, positions: Tensor, last: Tensor, slots: Tensor, parts: Sequence[slice]
    ) -> Tensor:
        """Return the state at the end of each prompt [prompts, hidden]: of the layers, and what the memory adds."""
        if self.model.memory is None:
            return self.stack(embedded, positions, PromptAttention(self.cache), last)
        remembered = self.model.remembered_at_ends(embedded, slots, parts)
        if not self.model.reads_layers:
            return remembered
        return self.stack(embedded, positions, PromptAttention(self.cache), last) + remembered

    def restart(self) -> None:
        """Drop all beams and go back to the end of the prompts."""
        self.beams, self.depth, self.hidden = BeamAttention(self.cache), 0, self.start

    def advance(self, parents: Tensor, codes: Tensor, level: int) -> None:
        """Append to each beam its code [prompts, beams] of `level`; `parents` [prompts, beams]: the beam it continues."""
        inputs = self.model.as_input(self.model.code_rows(codes.flatten() + int(self.model.offsets[level])))
        self.beams.follow(parents)
        positions = (self.lengths + self.depth).repeat_interleave(codes.shape[1])
        self.depth += 1
        self.hidden = self.stack(inputs, positions, self.beams).unflatten(0, codes.shape)

    def log_probabilities(self, level: int) -> Tensor:
        """Return the log-softmax over all codes of a level, [prompts, beams, codes].

        The trie masks afterwards, so that scores do not depend on what is allowed.
        """
        return torch.log_softmax(self.weights.code_logits(self.hidden, level).float(), -1)


class Beams:
    """The state of a batch of beam searches. All tensors [prompts, beams]; a dead beam has state -1 and score -inf.

    `lost` [prompts]: the best score that was pruned at any level. Scores only fall from level to level, so no pruned item
    has a higher one.
    """

    def __init__(self, prompts: int, trie: Trie, device: torch.device) -> None:
        self.lost = torch.full((prompts,), -torch.inf, device=device)
        self.states = torch.full((prompts, 1), trie.root, dtype=torch.long, device=device)
        self.scores = torch.zeros(prompts, 1, device=device)

    def extend(self, logp: Tensor, trie: Trie, level: int, mask: Mask | None, width: int) -> tuple[Tensor, Tensor]:
        """Replace the beams by the best `width` of their allowed children.

        `logp` [prompts, beams, codes]. Returns each new beam's parent and code, both [prompts, beams]; one top-k over all
        children at once. A prompt with fewer children than others gets dead beams, whose parent and code say nothing.
        """
        if level == 0:
            return self._begin(logp[:, 0], trie, mask, width)
        codes, following = trie.children(self.states, level)
        living = following >= 0
        if mask is not None:
            living &= mask.alive(following.clamp_min(0))
        # a dead beam must not go on: state 0, or a forbidden child, has children of its own
        codes, following = codes.clamp_min(0), following.masked_fill(~living, -1)
        gathered = (logp.gather(2, codes) + self.scores[..., None]).masked_fill(~living, -torch.inf)
        fan_out = codes.shape[-1]
        best = self._keep(gathered.flatten(1), width)
        self.states = following.flatten(1).gather(1, best)
        return best // fan_out, codes.flatten(1).gather(1, best)

    def _begin(self, logp: Tensor, trie: Trie, mask: Mask | None, width: int) -> tuple[Tensor, Tensor]:
        """Do what `extend` does for the root, whose children may be all items; `logp` [prompts, codes]."""
        codes, first = trie.first_children()
        everything = len(codes) == logp.shape[1]
        scores = logp if everything else logp.index_select(1, codes)
        living = None if mask is None else mask.alive_from(first, first + len(codes))
        best = self._keep(scores if living is None else scores.masked_fill(~living, -torch.inf), width)
        states = best + first
        self.states = states if living is None else states.masked_fill(~living.gather(1, best), -1)
        return torch.zeros_like(best), codes[best]

    def _keep(self, scores: Tensor, width: int) -> Tensor:
        """Keep the best `width` of scores [prompts, n]; returns their places [prompts, up to `width`]."""
        # one more than is kept: the best of the pruned ones
        best_scores, best = scores.topk(min(width + 1, scores.shape[1]))
        if best_scores.shape[1] > width:
            self.lost = torch.maximum(self.lost, best_scores[:, width])
        self.scores = best_scores[:, :width]
        return best[:, :width]


def _rankings(search: Search, beams: Beams, trie: Trie, k: int) -> list[Ranking]:
    items, scores = trie.item_of(beams.states).cpu().numpy(), beams.scores.cpu().numpy()
    # NaN counts as the largest number in a top-k, so it is still here
    if np.isnan(scores).any():
        raise _not_a_number()
    rows = zip(items, scores, beams.lost.cpu().numpy(), strict=True)
    by_index = dict(zip(search.order, (_best(*row, k) for row in rows), strict=True))
    return [by_index[index] for index in range(len(by_index))]


def _best(items: np.ndarray, scores: np.ndarray, lost: np.ndarray, k: int) -> Ranking:
    living, last = np.isfinite(scores), scores[k - 1] if len(scores) >= k else -np.inf
    return Ranking(items[living][:k], scores[living][:k], bool(last >= lost))


def _not_a_number() -> RecommenderError:
    return RecommenderError("the model computed NaN scores; nothing was ranked", "check the checkpoint's weights")


def _score_rest(search: Search, codes: Tensor) -> Tensor:
    """Return the summed log-probabilities [prompts, candidates] of all codes [candidates, levels] after the first."""
    prompts = len(search.lengths)
    total = torch.zeros(prompts, len(codes), device=codes.device)
    search.restart()
    all_beams = torch.arange(len(codes), device=codes.device).expand(prompts, -1)
    for level in range(codes.shape[1] - 1):
        search.advance(all_beams, codes[:, level].expand(prompts, -1), level)
        logp = search.log_probabilities(level + 1)
        total += logp.gather(2, codes[:, level + 1].expand(prompts, -1)[..., None])[..., 0]
    search.restart()
    return total


def _shared_length(prompts: Sequence[Example], instruction: np.ndarray | None) -> int:
    """Return how many positions of the instruction all prompts begin with; the last position of a prompt is never shared."""
    if instruction is None or not len(instruction):
        return 0
    shared = len(instruction)
    for prompt in prompts:
        shared = min(shared, len(prompt) - 1)
        same = (prompt.tokens[:shared] == instruction[:shared]) & (prompt.items[:shared] < 0)
        shared = shared if same.all() else int(same.argmin())
    return shared
