"""Block attention: an attention function, registered with `transformers`, that computes packed rows block by block.

In a packed row most of the mask is False: an example attends to the shared instruction and to itself. torch's kernel
computes masked scores and discards them, so in training on a CPU rows are cut between examples, and each block attends to
the instruction and to itself alone. On a GPU few large products are faster than many small ones, and rows stay whole: they
are computed by a kernel for sequences (`sequence_attention`), or with the mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from recommender.model.attention_traits import PLAIN, Traits, attend_masked
from recommender.model.sequence_attention import attend_sequences, is_usable
from recommender.prompting.row_mask import RowMask
from recommender.prompting.sequences import Sequences

NAME = "recommender_packed"
"""The name in the registry of transformers; callers without our arguments get its own `sdpa`."""


class Attention(Protocol):
    """The attention of one layer: queries [T, heads, width], keys and values [T, key heads, width] -> [T, heads, width]."""

    def __call__(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, last: bool = False, traits: Traits = PLAIN
    ) -> Tensor:
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
    """All blocks of a batch, row by row in order of positions; each row begins with `prefix` positions.

    `positions` [rows, positions] within the examples: a sliding window counts by them.
    """

    prefix: int
    blocks: Sequence[AttentionBlock]
    positions: Tensor | None = None

    def visible(self, x: Tensor, block: AttentionBlock) -> Tensor:
        """Return what a block sees, [key heads, visible, width], of keys or values [rows, key heads, positions, width]."""
        positions = x[block.row, :, block.start : block.stop]
        return torch.cat([x[block.row, :, : self.prefix], positions], 1) if block.start else positions

    def bias(self, block: AttentionBlock, window: int | None) -> Tensor:
        """Return the bias of a block for a layer with a sliding window, None: without one."""
        if window is None or self.positions is None:
            return block.bias
        asking = self.positions[block.row, block.start : block.stop]
        seen = torch.cat([self.positions[block.row, : self.prefix], asking]) if block.start else asking
        return block.bias.masked_fill(asking[:, None] - seen >= window, -torch.inf)

    @classmethod
    def cut(
        cls, mask: RowMask, ends: Sequence[Sequence[int]], dtype: torch.dtype, positions: Tensor | None = None
    ) -> AttentionBlocks:
        """Cut rows at `ends` of each, instruction first; the mask between blocks is never drawn."""
        prefix = ends[0][0]
        blocks = []
        for row, row_ends in enumerate(ends):
            for start, stop in zip([0, *row_ends[:-1]], row_ends, strict=True):
                if start == stop:  # no instruction
                    continue
                hidden = mask.block(row, start, stop, prefix).logical_not_()[None]
                bias = torch.zeros(hidden.shape, dtype=dtype, device=mask.device).masked_fill_(hidden, -torch.inf)
                blocks.append(AttentionBlock(row, start, stop, bias))
        return cls(prefix, blocks, positions)


_HANDED: ContextVar[dict[str, Any] | None] = ContextVar("handed", default=None)


@contextmanager
def handing_on(arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Within the block `attend` knows its arguments also from layers that hand no keywords on (StableLM)."""
    token = _HANDED.set(arguments)
    try:
        yield arguments
    finally:
        _HANDED.reset(token)


class _StandIn(Tensor):
    """A mask [1, 1, 1, 1] that layers of transformers hand on as it is. Our attention knows the rows, and reads no mask.

    It carries what they may not hand on, also where a layer is computed again after `handing_on` has ended.
    """

    handed: dict[str, Any]

    @classmethod
    def of(cls, arguments: dict[str, Any], device: torch.device) -> _StandIn:
        """Return one that carries `arguments`, on a device."""
        mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device).as_subclass(cls)
        mask.handed = arguments
        return mask


def row_arguments(
    positions: Tensor,
    mask: RowMask,
    ends: Sequence[Sequence[int]],
    dtype: torch.dtype,
    sequences: Sequences | None = None,
) -> dict[str, Any]:
    """Return what a decoder has to hand on to `attend` for packed rows; arguments as in `Batch`."""
    arguments: dict[str, Any] = {"row_positions": positions, "row_mask": mask}
    if mask.device.type != "cpu" and sequences is not None:
        arguments["sequences"] = sequences
    if ends and mask.device.type == "cpu":
        arguments["blocks"] = AttentionBlocks.cut(mask, ends, dtype, positions)
    return arguments | {"attention_mask": _StandIn.of(arguments, mask.device)}


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
    row_positions: Tensor | None = None,
    row_mask: RowMask | None = None,
    sliding_window: int | None = -1,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend with the signature of transformers: [rows, heads, positions, width] in, [rows, positions, heads, width] out.

    With `packed_attention`, which takes one row, that computes the result; with `blocks` it is computed block by block, with
    `sequences` by a kernel for sequences, where there is one. With `row_mask` the mask is ours, and drawn only if neither is
    there; `attention_mask` then stands in its place and says nothing.
    `row_positions` [rows, positions]: says that the mask is ours, in which a layer's sliding window is not drawn yet; a mask
    of transformers has it. `sliding_window`, `softcap` and `s_aux` are what the layer has: see `Traits`.
    """
    given = _HANDED.get() or getattr(attention_mask, "handed", None)
    if row_positions is None and packed_attention is None and given is not None:
        blocks, row_positions, row_mask = (given.get(name) for name in ("blocks", "row_positions", "row_mask"))
        sequences, packed_attention = given.get("sequences"), given.get("packed_attention")
    if sliding_window == -1:  # a layer that does not tell it may still have one
        sliding_window = getattr(module, "sliding_window", None)
    sliding_window = sliding_window or None
    traits = Traits(sliding_window, softcap, s_aux)
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    if packed_attention is not None:
        q, k, v = (part[0].transpose(0, 1) for part in (query, key, value))
        return packed_attention(int(module.layer_idx), q, k, v, scale, traits=traits)[None], None
    if sequences is not None and not dropout and traits.plain(sequences.longest[1]):
        sizes = query.shape[1], key.shape[1], query.shape[-1]
        if is_usable(query.device, query.dtype, *sizes):
            return attend_sequences(query, key, value, sequences, scale), None
    if blocks is None or dropout:
        mask = attention_mask if row_mask is None else row_mask.whole
        mask = _windowed(mask, row_positions, sliding_window)
        if traits.bent:
            return _attend_bent(query, key, value, mask, scale, traits), None
        return sdpa_attention_forward(module, query, key, value, mask, dropout, scaling, **kwargs)
    query = query * scale
    rows: list[list[Tensor]] = [[] for _ in range(len(query))]
    for block in blocks.blocks:
        block_query = query[block.row, :, block.start : block.stop]
        keys, values = (blocks.visible(x, block) for x in (key, value))
        bias = blocks.bias(block, sliding_window)
        rows[block.row].append(_attend_block(block_query, keys, values, bias, traits))
    return torch.stack([torch.cat(parts, 1) for parts in rows]).transpose(1, 2), None


def _windowed(mask: Tensor | None, positions: Tensor | None, window: int | None) -> Tensor | None:
    """Return a mask [rows, 1, positions, keys] of ours, True = may attend, with a sliding window drawn in it."""
    if mask is None or positions is None or window is None:
        return mask
    return mask & (positions[:, None, :, None] - positions[:, None, None, :] < window)


def _attend_bent(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, traits: Traits
) -> Tensor:
    """Attend with capped scores or sinks, which no kernel of torch knows; `mask` as transformers makes it for `sdpa`."""
    positions = query.shape[2]
    if mask is None:  # then everything before may be seen
        visible = torch.ones(1, positions, key.shape[2], dtype=torch.bool, device=query.device)
        visible = visible.tril(key.shape[2] - positions)
    else:
        visible = (mask if mask.dtype == torch.bool else mask == 0)[:, 0, :, : key.shape[2]]
    out, lse = attend_masked(query.transpose(1, 2), key, value, scale, visible, traits)
    return traits.drained(out, lse).to(query.dtype)


def _attend_block(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, traits: Traits = PLAIN) -> Tensor:
    """Return the attention of scaled queries [heads, positions, width] to keys and values [key heads, visible, width].

    In plain matrix products: for a block, the backward pass of torch's fused kernel takes four times as long.
    """
    heads, positions, width = query.shape
    # queries that share a key head are rows of one product, so no key is repeated
    together = query.reshape(len(key), -1, width)
    scores = traits.capped((together @ key.transpose(1, 2)).view(heads, positions, -1)) + bias
    probabilities = scores.softmax(-1)
    if traits.sinks is not None:  # what the sinks take, they take from all probabilities of a row alike
        left = torch.sigmoid(scores.logsumexp(-1) - traits.sinks.to(scores)[:, None])
        probabilities = probabilities * left[..., None]
    return (probabilities.view(len(key), -1, scores.shape[-1]) @ value).view(heads, positions, -1)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
