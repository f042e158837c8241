"""How the base model's own layers attend for us, through the registry of `transformers`: in training block by block.

In a row of many examples nearly all of the mask forbids: an example sees the instruction that all share and itself. torch's
kernel computes what the mask forbids and throws it away, so rows are cut where no example goes on, and each piece attends to
the instruction and to itself alone. On a GPU few large products are faster than many small ones, and rows stay whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "recommender_packed"
"""What transformers knows this attention by; for all other callers it is its own `sdpa`."""


class Attention(Protocol):
    """What a layer asks: queries [T, heads, width], keys and values [T, key heads, width] -> [T, heads, width].

    With `only` [n], the packed places that are still needed, `q` and the result hold those alone.
    """

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, last: bool = False) -> Tensor:
        """Attend in one layer; `last`: `q` [prompts, heads, width] holds each prompt's last position only."""


@dataclass(frozen=True)
class AttentionBlock:
    """Neighbouring examples of one row, positions from `start` to `stop`, and what they may see of the instruction and of
    each other: added to their scores, [1, positions, instruction + positions]."""

    row: int
    start: int
    stop: int
    bias: Tensor


@dataclass(frozen=True)
class AttentionBlocks:
    """All blocks of a batch, row by row from the first position to the last; `prefix` positions begin each row."""

    prefix: int
    every: Sequence[AttentionBlock]

    def seen(self, x: Tensor, block: AttentionBlock) -> Tensor:
        """Return the keys or values [key heads, seen, width] of `x` [rows, key heads, positions, width] for a block."""
        own = x[block.row, :, block.start : block.stop]
        return torch.cat([x[block.row, :, : self.prefix], own], 1) if block.start else own

    @classmethod
    def cut(cls, mask: Tensor, ends: Sequence[Sequence[int]], dtype: torch.dtype) -> AttentionBlocks:
        """Cut a mask [rows, 1, positions, positions], True = may attend, at `ends` of each row, instruction first."""
        prefix = ends[0][0]
        every = []
        for row, own in enumerate(ends):
            for start, stop in zip([0, *own[:-1]], own, strict=True):
                if start == stop:  # no instruction
                    continue
                seen = mask[row, :, start:stop]
                seen = seen[..., :stop] if start == 0 else torch.cat([seen[..., :prefix], seen[..., start:stop]], -1)
                bias = torch.zeros(seen.shape, dtype=dtype, device=mask.device).masked_fill_(~seen, -torch.inf)
                every.append(AttentionBlock(row, start, stop, bias))
        return cls(prefix, every)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    blocks: AttentionBlocks | None = None,
    packed_attention: Attention | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend as transformers asks for it: [rows, heads, positions, width] in, [rows, positions, heads, width] out.

    A call that brings `packed_attention` along, which takes one row, is answered by that, one with `blocks` block by block.
    """
    if packed_attention is not None:
        q, k, v = (part[0].transpose(0, 1) for part in (query, key, value))
        return packed_attention(int(module.layer_idx), q, k, v, float(scaling or q.shape[-1] ** -0.5))[None], None
    if blocks is None or dropout:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    query = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    rows: list[list[Tensor]] = [[] for _ in range(len(query))]
    for block in blocks.every:
        asked = query[block.row, :, block.start : block.stop]
        keys, values = (blocks.seen(x, block) for x in (key, value))
        rows[block.row].append(_attended(asked, keys, values, block.bias))
    return torch.stack([torch.cat(own, 1) for own in rows]).transpose(1, 2), None


def _attended(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Return what queries [heads, positions, width], scaled, find among keys and values [key heads, seen, width].

    By plain products: for a block, torch's fused kernel takes four times as long on the way back.
    """
    heads, positions, width = query.shape
    # the queries that share a key head lie one behind the other, so no key is repeated
    together = query.reshape(len(key), -1, width)
    scores = (together @ key.transpose(1, 2)).view(heads, positions, -1) + bias
    probabilities = scores.softmax(-1).view(len(key), -1, scores.shape[-1])
    return (probabilities @ value).view(heads, positions, width)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
