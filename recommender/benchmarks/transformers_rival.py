"""Rivals out of transformers: `generate` constrained by a trie, and the bare forward passes as a lower bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor

from recommender.constraints import Trie
from recommender.export.merge import TokenLayout, ranking_llm
from recommender.model import RecommenderModel
from recommender.prompting.example import Example

#: Nested dictionaries: token id -> the tokens that may follow it.
Nested = dict[int, Any]


class TransformersRival:
    """A causal LLM of `transformers` with the same scores as a model of ours, and the usual constrained searches."""

    def __init__(self, model: RecommenderModel, trie: Trie) -> None:
        """Merge `model` into a plain LLM; `trie`: the codes that may be generated."""
        self.layout = TokenLayout.of(model)
        with torch.no_grad():
            self.llm = ranking_llm(model, self.layout)
        self.trie, self.levels = trie, trie.levels
        self.offsets = [int(self.layout.words + offset) for offset in model.offsets]
        self.codes = model.ids.codes
        tokens = self.codes + np.asarray(self.offsets[:-1])
        self.items = {tuple(row): item for item, row in enumerate(tokens.tolist())}
        self.nested: Nested = {}
        for row in self.items:
            node = self.nested
            for token in row:
                node = node.setdefault(token, {})

    def prefix_function(self, length: int) -> Callable[[int, Tensor], list[int]]:
        """Return a `prefix_allowed_tokens_fn` over nested dictionaries, for prompts of `length` tokens."""

        def allowed(_: int, tokens: Tensor) -> list[int]:
            node = self.nested
            for token in tokens[length:].tolist():
                node = node.get(token, {})
            return list(node) or [0]

        return allowed

    @torch.no_grad()
    def generate(self, prompts: Sequence[Example], beam: int, k: int, vectorised: bool) -> list[list[int]]:
        """Return the best `k` items of each prompt, -1 for codes of no item; all prompts have the same length."""
        ids = self._token_ids(prompts)
        length = ids.shape[1]
        options: dict[str, Any] = (
            {"logits_processor": [TrieLogitsProcessor(self.trie, self.offsets, length)]}
            if vectorised
            else {"prefix_allowed_tokens_fn": self.prefix_function(length)}
        )
        sequences = self.llm.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            num_beams=beam,
            num_return_sequences=min(k, beam),
            max_new_tokens=self.levels,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            **options,
        )
        items = [self.items.get(tuple(row), -1) for row in sequences[:, length:].tolist()]
        return np.asarray(items).reshape(len(prompts), -1).tolist()

    @torch.no_grad()
    def bare_passes(self, prompts: Sequence[Example], beam: int) -> None:
        """Run only a prefill of the prompts, and for each further level a pass of `beam` rows a prompt."""
        ids = self._token_ids(prompts)
        self.llm.model(ids, use_cache=False)
        rows = ids[:, -1:].repeat(beam, 1)
        for _ in range(self.levels - 1):
            self.llm.model(rows, use_cache=False)

    def _token_ids(self, prompts: Sequence[Example]) -> Tensor:
        """Return int64 [prompts, positions] on the device of the LLM."""
        ids = np.stack([self.layout.ids(prompt, self.codes) for prompt in prompts])
        return torch.from_numpy(ids).to(self.llm.device)


class TrieLogitsProcessor(LogitsProcessor):
    """The trie for `transformers` without Python loops: log-softmax over the level's codes, then the trie's mask."""

    def __init__(self, trie: Trie, offsets: Sequence[int], length: int) -> None:
        self.trie, self.offsets, self.length = trie, offsets, length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the scores [rows, vocabulary] of the tokens that may follow `input_ids` [rows, positions], else -inf."""
        level = input_ids.shape[1] - self.length
        states = torch.full_like(input_ids[:, 0], self.trie.root)
        for depth in range(level):
            codes, following = self.trie.children(states, depth)
            taken = codes == (input_ids[:, self.length + depth] - self.offsets[depth])[:, None]
            states = torch.where(taken, following, -1).amax(1)
        codes, following = self.trie.children(states, level)
        logp = torch.log_softmax(scores[:, self.offsets[level] : self.offsets[level + 1]].float(), -1)
        child_scores = logp.gather(1, codes.clamp_min(0)).masked_fill(following < 0, -torch.inf)
        # padding is written into a column of its own, which is cut off
        wide = scores.new_full((len(scores), scores.shape[1] + 1), -torch.inf, dtype=torch.float32)
        wide.scatter_(1, torch.where(following < 0, scores.shape[1], codes + self.offsets[level]), child_scores)
        return wide[:, :-1]
