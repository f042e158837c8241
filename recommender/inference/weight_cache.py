"""Caches what inference derives from a model's weights, until the weights change.

It holds the fused stack of the ranking layers, the keys and values of instructions, and the embeddings of all items. The
engine owns the cache; the network does not refer to it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recommender.adapters.lora import RANK
from recommender.inference.attention import Group, PromptAttention, PromptCache
from recommender.inference.layers import Stack, make_stack
from recommender.model.network import RecommenderModel

#: How many instructions have their keys and values kept.
INSTRUCTIONS = 4

Prefix = list[tuple[Tensor, Tensor]]
"""Keys and values [key heads, positions, head width] of each layer."""


class WeightCache:
    """A model for inference. In-place changes of its weights are noticed, those through `.data` are not."""

    def __init__(self, model: RecommenderModel) -> None:
        """Cache for the weights of `model`; nothing is computed yet."""
        self.model = model
        self._layers_version: tuple[Any, ...] = ()
        self._stack: Stack | None = None
        self._prefixes: OrderedDict[bytes, Prefix] = OrderedDict()
        self._items_version: tuple[Any, ...] = ()
        self._items: tuple[Tensor, Tensor] | None = None
        self._outputs: Tensor | None = None

    @torch.no_grad()
    def stack(self) -> Stack:
        """Return the ranking layers for the weights as they are now."""
        model, version = self.model, _layers_version(self.model)
        if self._stack is None or version != self._layers_version:
            self._prefixes.clear()
            int8 = model.config.decoding.int8
            self._stack = make_stack(model.ranking_view(), model.rank_norm, model.llm, RANK, int8)
            self._layers_version = version
        return self._stack

    @torch.no_grad()
    def prefix(self, tokens: np.ndarray) -> Prefix:
        """Return the keys and values of an instruction that prompts begin with; `tokens` [positions]: vocabulary ids."""
        stack, key, model = self.stack(), tokens.tobytes(), self.model
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

    @torch.no_grad()
    def items(self) -> tuple[Tensor, Tensor]:
        """Return the embeddings [items, hidden] and soft tokens [items, soft, hidden] of the whole catalogue."""
        version = _items_version(self.model)
        if self._items is None or version != self._items_version:
            self._items, self._outputs, self._items_version = self.model.all_items(), None, version
        return self._items

    @torch.no_grad()
    def code_logits(self, hidden: Tensor, level: int) -> Tensor:
        """Return the scores [..., codes] of a level's codes at hidden states [..., hidden]."""
        if self.model.ids.codes.shape[1] > 1:
            return self.model.code_logits(hidden, level)
        self.items()
        if self._outputs is None:
            self._outputs = self.model.output_rows(0)
        return hidden @ self._outputs.T


def _layers_version(model: RecommenderModel) -> tuple[Any, ...]:
    """Return a value that changes whenever a weight of the ranking layers is written, moved or replaced."""
    parts = [model.llm.get_input_embeddings(), *model.llm.model.layers[: model.config.base.rank_layers]]
    return _version(p for part in parts for p in part.parameters())


def _items_version(model: RecommenderModel) -> tuple[Any, ...]:
    """Return a value that changes whenever something changes that an item's embedding is made of."""
    sources = (model.rows, *model.projectors.parameters(), *model.buffers(recurse=False))
    return (model.muting, model.features_version, *_version(sources))


def _version(tensors: Iterable[Tensor]) -> tuple[tuple[int, int], ...]:
    return tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)
