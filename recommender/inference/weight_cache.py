"""Caches what inference derives from a model's weights, until the weights change.

It holds the fused stack of the ranking layers, the keys and values of instructions, and the embeddings of all items. The
engine owns the cache; the network does not refer to it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recommender.adapters.lora import RANK
from recommender.errors import ConfigError
from recommender.inference.attention import Group, PromptAttention, PromptCache
from recommender.inference.layers import ModuleStack, Stack, make_stack
from recommender.model.network import RecommenderModel

#: How many instructions have their keys and values kept.
INSTRUCTIONS = 4
#: Items up to which all are embedded once and kept; of more, those of a prompt are embedded when it is read.
KEPT_ITEMS = 100_000
#: Sets of switched-off modalities whose embeddings are kept, and how many bytes of them beside the last.
WITHOUT, WITHOUT_BYTES = 4, 1_000_000_000

Prefix = list[tuple[Tensor, Tensor]]
"""Keys and values [key heads, positions, head width] of each layer."""


@dataclass
class _Items:
    """Embeddings and soft tokens of all items, the version that they are of, and the embeddings by code, once needed.

    Of a large catalogue only the last."""

    version: tuple[Any, ...] = ()
    embedded: tuple[Tensor, Tensor] | None = None
    outputs: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of what is held."""
        held = (*(self.embedded or ()), *([] if self.outputs is None else [self.outputs]))
        return sum(tensor.nbytes for tensor in held)


class WeightCache:
    """A model for inference. In-place changes of its weights are noticed, those through `.data` are not."""

    def __init__(self, model: RecommenderModel) -> None:
        """Cache for the weights of `model`; nothing is computed yet."""
        self.model = model
        self._layers_version: tuple[Any, ...] = ()
        self._stack: Stack | None = None
        self._prefixes: OrderedDict[bytes, Prefix] = OrderedDict()
        self._whole, self._muted = _Items(), _Items()
        self._without: OrderedDict[frozenset[str], _Items] = OrderedDict()

    @torch.no_grad()
    def stack(self) -> Stack:
        """Return the ranking layers for the weights as they are now."""
        model, version = self.model, _layers_version(self.model)
        if self._stack is None or version != self._layers_version:
            self._prefixes.clear()
            bits = model.config.decoding.bits
            self._stack = make_stack(model.ranking_view(), model.rank_norm, model.llm, RANK, bits)
            self._layers_version = version
        return self._stack

    def check_rounded(self) -> None:
        """Raise ConfigError unless the ranking layers have matrices of `decoding.bits`."""
        bits = self.model.config.decoding.bits
        if isinstance(self.stack(), ModuleStack) and bits != 16:
            raise ConfigError(
                f"bits {bits}: the layers of this base run by its own code, whose matrices are not rounded",
                "rank with 16 bits",
            )

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
    def items(self) -> tuple[Tensor, Tensor] | None:
        """Return the embeddings [items, hidden] and soft tokens [items, soft, hidden] of the whole catalogue.

        None for more than `KEPT_ITEMS` items: soft tokens are several times as large as the rows.
        """
        return self._current().embedded

    def _current(self) -> _Items:
        """Return what items are embedded as now. While some are muted, what they all are otherwise is kept beside it."""
        version, (modalities, only) = _items_version(self.model), self.model.muting
        if modalities:
            if self._muted.version != version:
                self._muted = _Items(version, self._all_items() if only is None else self._with_muted(only))
            return self._muted
        self._muted = _Items()
        if self.model.off:
            return self._switched_off(version)
        if self._whole.version != version:
            self._whole = _Items(version, self._all_items())
        return self._whole

    def _switched_off(self, version: tuple[Any, ...]) -> _Items:
        """Return what items are embedded as without the modalities that are off; the last few are kept."""
        off, kept = self.model.off, self._without
        if off not in kept or kept[off].version != version:
            kept[off] = _Items(version, self._all_items())
        kept.move_to_end(off)
        while len(kept) > 1 and (len(kept) > WITHOUT or sum(items.nbytes for items in kept.values()) > WITHOUT_BYTES):
            kept.popitem(last=False)
        return kept[off]

    def _all_items(self) -> tuple[Tensor, Tensor] | None:
        return self.model.all_items() if len(self.model.codes) <= KEPT_ITEMS else None

    def _with_muted(self, items: tuple[int, ...]) -> tuple[Tensor, Tensor] | None:
        """Return the embeddings and soft tokens of all items when only those of `items` must be computed."""
        with self.model.muted():
            whole = self._current().embedded
        if whole is None:
            return None
        rows = torch.tensor(items, device=self.model.device)
        changed = self.model.item_embeddings(rows)
        return whole[0].index_copy(0, rows, changed[0]), whole[1].index_copy(0, rows, changed[1])

    @torch.no_grad()
    def code_logits(self, hidden: Tensor, level: int) -> Tensor:
        """Return the scores [..., codes] of a level's codes at hidden states [..., hidden]."""
        if self.model.ids.codes.shape[1] > 1:
            return self.model.code_logits(hidden, level)
        current, (_, only) = self._current(), self.model.muting
        if current.embedded is None and only is not None:
            return self._logits_beside(hidden, only)
        if current.outputs is None:
            kept = current.embedded
            current.outputs = self.model.output_rows(0) if kept is None else self.model.by_code(kept[0])
        return hidden @ current.outputs.T

    def _logits_beside(self, hidden: Tensor, muted: tuple[int, ...]) -> Tensor:
        """Return the scores of all codes where the items of a few are read otherwise: only these are scored anew."""
        items = torch.tensor(muted, device=self.model.device)
        rows = self.model.item_embeddings(items)[0]
        with self.model.muted():
            logits = self.code_logits(hidden, 0)
        logits[..., self.model.codes[items, 0]] = hidden @ rows.T
        return logits


def _layers_version(model: RecommenderModel) -> tuple[Any, ...]:
    """Return a value that changes whenever a weight of the ranking layers is written, moved or replaced."""
    parts = [model.llm.get_input_embeddings(), *model.llm.model.layers[: model.config.base.rank_layers]]
    return version_of(p for part in parts for p in part.parameters())


def _items_version(model: RecommenderModel) -> tuple[Any, ...]:
    """Return a value that changes whenever something changes that an item's embedding is made of."""
    sources = (model.rows, *model.projectors.parameters(), *model.buffers(recurse=False))
    return (model.muting, model.off, model.features_version, *version_of(sources))


def version_of(tensors: Iterable[Tensor]) -> tuple[tuple[int, int], ...]:
    """Return a value that changes whenever one of the tensors is written in place, or replaced."""
    return tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)
