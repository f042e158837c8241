"""What inference makes of the weights once and keeps until they change: the fused stack, and the instruction's cache."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from recommender.adapters.lora import RANK
from recommender.inference.attention import Group, PromptAttention, PromptCache
from recommender.inference.layers import Stack, make_stack

if TYPE_CHECKING:
    from recommender.model.network import RecommenderModel

#: Instructions whose keys and values are kept.
INSTRUCTIONS = 4

Prefix = list[tuple[Tensor, Tensor]]
"""Keys and values [key heads, positions, head width] of each layer."""


class Prepared:
    """Kept by a model; a copy of the model starts with an empty one, for its weights will differ."""

    def __init__(self) -> None:
        self._version: tuple[Any, ...] = ()
        self._stack: Stack | None = None
        self._prefixes: OrderedDict[bytes, Prefix] = OrderedDict()

    def __deepcopy__(self, memo: dict[int, Any]) -> Prepared:
        return Prepared()

    def __getstate__(self) -> dict[str, Any]:
        return vars(Prepared())

    @torch.no_grad()
    def stack(self, model: RecommenderModel) -> Stack:
        """Return the stack for the weights as they are now; in-place changes are seen, those through `.data` are not."""
        version = _version(model)
        if self._stack is None or version != self._version:
            self._prefixes.clear()
            view = model.ranking_view()
            self._stack = make_stack(view, model.rank_norm, model.llm, RANK, model.config.decoding.int8)
            self._version = version
        return self._stack

    @torch.no_grad()
    def prefix(self, model: RecommenderModel, tokens: np.ndarray) -> Prefix:
        """Return keys and values of an instruction, token ids [positions] of the vocabulary, that prompts begin with."""
        stack, key = self.stack(model), tokens.tobytes()
        if key not in self._prefixes:
            cache = PromptCache([Group(0, 1, len(tokens))])
            ids = torch.from_numpy(tokens).to(model.device)
            embedded = model.llm.get_input_embeddings()(ids)
            stack(embedded, torch.arange(len(tokens), device=model.device), PromptAttention(cache))
            self._prefixes[key] = [(k[0][0], v[0][0]) for k, v in zip(cache.keys, cache.values, strict=True)]
            if len(self._prefixes) > INSTRUCTIONS:
                self._prefixes.popitem(last=False)
        self._prefixes.move_to_end(key)
        return self._prefixes[key]


def _version(model: RecommenderModel) -> tuple[Any, ...]:
    """Return what changes whenever a weight that the ranking layers read is written, moved or replaced."""
    parts = [model.llm.get_input_embeddings(), *model.llm.model.layers[: model.config.base.rank_layers]]
    return tuple((p.data_ptr(), p._version) for part in parts for p in part.parameters())
