"""Block attention: an attention function, registered with `transformers`, that computes packed rows block by block.

In a packed row most of the mask is False: an example attends to the shared instruction and to itself. torch's kernel
computes masked scores and discards them, so in training on a CPU rows are cut between examples, and each block attends to
the instruction and to itself alone. On a GPU few large products are faster than many small ones, and rows stay whole: they
are computed by a kernel for sequences (`sequence_attention`), or with the mask.
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

from recommender.model.sequence_attention import attend_sequences, is_usable
from recommender.prompting.sequences import Sequences

NAME = "recommender_packed"
"""The name in the registry of transformers; callers without our arguments get its own `sdpa`."""


class Attention(Protocol):
    """The attention of one layer: queries [T, heads, width], keys and values [T, key heads, width] -> [T, heads, width]."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, last: bool = False) -> Tensor:
        """Attend in one layer; `last`: `q` [prompts, heads, width] holds each prompt's last position only."""


@dataclass(frozen=True)
class AttentionBlock:
    """Neighbouring examples of one row, positions from `start` to `stop`.

    `bias` [1, positions, instruction + positions] is added to the attention scores: -inf where a position may not attend.
    """

    row: int
    start: int
    stop: int
    bias: Tensor


@dataclass(frozen=True)
class AttentionBlocks:
    """All blocks of a batch, row by row in order of positions; each row begins with `prefix` positions."""

    prefix: int
    blocks: Sequence[AttentionBlock]

    def visible(self, x: Tensor, block: AttentionBlock) -> Tensor:
        """Return what a block sees, [key heads, visible, width], of keys or values [rows, key heads, positions, width]."""
        positions = x[block.row, :, block.start : block.stop]
        return torch.cat([x[block.row, :, : self.prefix], positions], 1) if block.start else positions

    @classmethod
    def cut(cls, mask: Tensor, ends: Sequence[Sequence[int]], dtype: torch.dtype) -> AttentionBlocks:
        """Cut a mask [rows, 1, positions, positions], True = may attend, at `ends` of each row, instruction first."""
        prefix = ends[0][0]
        blocks = []
        for row, row_ends in enumerate(ends):
            for start, stop in zip([0, *row_ends[:-1]], row_ends, strict=True):
                if start == stop:  # no instruction
                    continue
                part = mask[row, :, start:stop]
                part = part[..., :stop] if start == 0 else torch.cat([part[..., :prefix], part[..., start:stop]], -1)
                bias = torch.zeros(part.shape, dtype=dtype, device=mask.device).masked_fill_(~part, -torch.inf)
                blocks.append(AttentionBlock(row, start, stop, bias))
        return cls(prefix, blocks)


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
    sequences: Sequences | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend with the signature of transformers: [rows, heads, positions, width] in, [rows, positions, heads, width] out.

    With `packed_attention`, which takes one row, that computes the result; with `blocks` it is computed block by block, with
    `sequences` by a kernel for sequences, where there is one.
    """
    if packed_attention is not None:
        q, k, v = (part[0].transpose(0, 1) for part in (query, key, value))
        return packed_attention(int(module.layer_idx), q, k, v, float(scaling or q.shape[-1] ** -0.5))[None], None
    if sequences is not None and not dropout:
        sizes = query.shape[1], key.shape[1], query.shape[-1]
        if is_usable(query.device, query.dtype, *sizes):
            scale = query.shape[-1] ** -0.5 if scaling is None else scaling
            return attend_sequences(query, key, value, sequences, scale), None
    if blocks is None or dropout:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    query = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    rows: list[list[Tensor]] = [[] for _ in range(len(query))]
    for block in blocks.blocks:
        block_query = query[block.row, :, block.start : block.stop]
        keys, values = (blocks.visible(x, block) for x in (key, value))
        rows[block.row].append(_attend_block(block_query, keys, values, block.bias))
    return torch.stack([torch.cat(parts, 1) for parts in rows]).transpose(1, 2), None


def _attend_block(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Return the attention of scaled queries [heads, positions, width] to keys and values [key heads, visible, width].

    In plain matrix products: for a block, the backward pass of torch's fused kernel takes four times as long.
    """
    heads, positions, width = query.shape
    # queries that share a key head are rows of one product, so no key is repeated
    together = query.reshape(len(key), -1, width)
    scores = (together @ key.transpose(1, 2)).view(heads, positions, -1) + bias
    probabilities = scores.softmax(-1).view(len(key), -1, scores.shape[-1])
    return (probabilities @ value).view(heads, positions, width)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
