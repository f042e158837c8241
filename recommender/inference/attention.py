"""Attention of many prompts and of the beams behind them, over one cache that is written once and never copied.

Prompts lie packed one behind the other, those of one length together, so that nothing is computed for padding. A beam's
query reads its prompt's keys, then its own few positions, and the two results are merged by their log-sum-exps, as
FlashDecoding merges its splits (arXiv 2311.01282); the same prompt keys serve all beams, in one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

#: Bytes that one channel of the queries which are taken together has: their keys end where they end, which halves the work
#: of a causal mask, and their scores stay in the processor's cache.
BLOCK_BYTES = 256
#: Beams times keys up to which torch's fused kernel reads a bfloat16 cache faster than matrix products do.
SMALL = 16384


@dataclass(frozen=True)
class Group:
    """Neighbours in the packing: `prompts` of them, each `width` positions from `first` on; `lengths` [prompts] are the
    positions that count where some are padding (on a GPU, for static shapes), else None."""

    first: int
    prompts: int
    width: int
    lengths: Tensor | None = None

    @property
    def end(self) -> int:
        """One past the last packed position."""
        return self.first + self.prompts * self.width


@dataclass
class PromptCache:
    """Keys and values of each layer and group, [prompts, key heads, prefix + width, head width]; shared by all beams.

    `prefix`: those of a fixed instruction, [key heads, positions, head width] a layer, which all prompts begin with.
    """

    groups: Sequence[Group]
    prefix: Sequence[tuple[Tensor, Tensor]] | None = None
    keys: list[list[Tensor]] = field(default_factory=list)
    values: list[list[Tensor]] = field(default_factory=list)

    def write(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Add a layer's keys and values [T, key heads, width]."""
        before = self.prefix[layer] if self.prefix else (None, None)
        self.keys.append([_behind(before[0], _of(group, k)) for group in self.groups])
        self.values.append([_behind(before[1], _of(group, v)) for group in self.groups])

    def visible(self, group: Group, total: int) -> Tensor | None:
        """Return which of `total` keys a group's prompts have, [prompts, 1, 1, total], None for all."""
        if group.lengths is None:
            return None
        known = group.lengths + (total - group.width)
        return (torch.arange(total, device=known.device) < known[:, None])[:, None, None]


@dataclass
class PromptAttention:
    """The prefill: each prompt attends to the instruction and causally to itself, and is written to the cache."""

    cache: PromptCache

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, last: bool = False) -> Tensor:
        """See Attention."""
        self.cache.write(layer, k, v)
        outs, row = [], 0
        for group, keys, values in zip(
            self.cache.groups, self.cache.keys[layer], self.cache.values[layer], strict=True
        ):
            if last:
                mine = q[row : row + group.prompts, None]
                outs.append(_read(mine, keys, values, scale, self.cache.visible(group, keys.shape[2]))[0].flatten(0, 1))
                row += group.prompts
            else:
                outs.append(_causal(q[group.first : group.end].unflatten(0, (group.prompts, -1)), keys, values, scale))
        return _joined(outs)


@dataclass
class BeamAttention:
    """One pass of all beams: each reads its prompt in the cache and its own path behind it.

    Packed as the prompts are, `beams` a prompt. `own_keys`, `own_values`: of each layer [prompts, beams, depth, key heads,
    width]; `follow` gives them to the beams that go on.
    """

    cache: PromptCache
    beams: int = 1
    own_keys: list[Tensor] = field(default_factory=list)
    own_values: list[Tensor] = field(default_factory=list)

    def follow(self, parents: Tensor) -> None:
        """Let beam j of each prompt be a child of beam `parents` [prompts, beams] of the last pass."""
        self.beams = parents.shape[1]
        rows = torch.arange(len(parents), device=parents.device)[:, None]
        self.own_keys = [own[rows, parents] for own in self.own_keys]
        self.own_values = [own[rows, parents] for own in self.own_values]

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, last: bool = False) -> Tensor:
        """See Attention; `last` makes no difference, for every beam is a last position."""
        q, k, v = (part.unflatten(0, (-1, self.beams)) for part in (q, k, v))
        keys, values = self._grown(layer, k, v)
        outs, row = [], 0
        for group, shared_k, shared_v in zip(
            self.cache.groups, self.cache.keys[layer], self.cache.values[layer], strict=True
        ):
            mine = slice(row, row + group.prompts)
            row += group.prompts
            shared = _read(q[mine], shared_k, shared_v, scale, self.cache.visible(group, shared_k.shape[2]))
            outs.append(_merge(shared, _read_own(q[mine], keys[mine], values[mine], scale)))
        return _joined(outs).flatten(0, 1).to(q.dtype)

    def _grown(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        k, v = k[:, :, None], v[:, :, None]
        if layer == len(self.own_keys):
            self.own_keys.append(k)
            self.own_values.append(v)
        else:
            self.own_keys[layer] = torch.cat([self.own_keys[layer], k], 2)
            self.own_values[layer] = torch.cat([self.own_values[layer], v], 2)
        return self.own_keys[layer], self.own_values[layer]


def _of(group: Group, packed: Tensor) -> Tensor:
    """Return a group's part of [T, heads, width] as [prompts, heads, positions, width]."""
    return packed[group.first : group.end].unflatten(0, (group.prompts, -1)).transpose(1, 2)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _behind(prefix: Tensor | None, own: Tensor) -> Tensor:
    if prefix is None:
        return own.contiguous()
    return torch.cat([prefix.expand(len(own), -1, -1, -1), own], 2)


def _causal(q: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """Attend causally: q [n, positions, heads, width] are the last of the keys [n, key heads, total, width].

    Returns [n * positions, heads, width]. Block by block, in plain matrix products: on a CPU that is faster than the fused
    kernel of torch, which computes what the mask throws away.
    """
    n, positions, heads, width = q.shape
    shared, before, block = keys.shape[1], keys.shape[2] - positions, BLOCK_BYTES // q.element_size()
    folded = q.unflatten(2, (shared, -1)).permute(0, 2, 3, 1, 4)
    out = q.new_empty(n, positions, shared, heads // shared, width).permute(0, 2, 3, 1, 4)
    future = torch.ones(block, block, dtype=torch.bool, device=q.device).triu_(1)
    for start in range(0, positions, block):
        end = min(start + block, positions)
        size, total = end - start, before + end
        rows = folded[:, :, :, start:end].reshape(n * shared, -1, width)
        known = keys[:, :, :total].reshape(n * shared, total, width)
        scores = torch.bmm(rows, known.transpose(1, 2)).mul_(scale).unflatten(1, (-1, size))
        scores[..., total - size :].masked_fill_(future[:size, :size], -torch.inf)
        probabilities = torch.softmax(scores, -1).flatten(1, 2)
        read = torch.bmm(probabilities, values[:, :, :total].reshape(n * shared, total, width))
        out[:, :, :, start:end] = read.view(n, shared, -1, size, width)
    return out.permute(0, 3, 1, 2, 4).reshape(n * positions, heads, width)


def _read(q: Tensor, keys: Tensor, values: Tensor, scale: float, seen: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Attend with q [n, rows, heads, width] to keys [n, key heads, total, width], which all rows share.

    `seen` [n or 1, 1, rows or 1, total]. Returns [n, rows, heads, width] and the log-sum-exps [n, rows, heads] in float32.
    The heads that share a key head are rows of one product.
    """
    n, rows, heads, width = q.shape
    shared = keys.shape[1]
    folded = q.unflatten(2, (shared, -1)).permute(0, 2, 3, 1, 4).reshape(n, shared, -1, width)
    if seen is None and q.device.type == "cpu" and (q.dtype == torch.float32 or rows * keys.shape[2] <= SMALL):
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(folded, keys, values, scale=scale)
    else:
        out, lse = _products(folded * scale, keys, values, None if seen is None else seen[:, :, None], rows)
    out, lse = out.unflatten(2, (-1, rows)), lse.unflatten(2, (-1, rows))
    return out.permute(0, 3, 1, 2, 4).reshape(n, rows, heads, width), lse.permute(0, 3, 1, 2).reshape(n, rows, heads)


def _products(q: Tensor, keys: Tensor, values: Tensor, seen: Tensor | None, rows: int) -> tuple[Tensor, Tensor]:
    """Attend with q [n, key heads, heads of one * rows, width], which is scaled, as the fused kernel does.

    `seen` [n or 1, 1, 1, rows or 1, total]. Returns the output in the shape of q, and log-sum-exps without the width.
    """
    scores = torch.matmul(q, keys.transpose(2, 3)).unflatten(2, (-1, rows))
    if seen is not None:
        scores = scores.masked_fill(~seen, -torch.inf)
    probabilities = torch.softmax(scores, -1, dtype=torch.float32)
    # the largest score and its share tell the log-sum-exp without another pass of exponentials
    lse = scores.amax(-1).float() - probabilities.amax(-1).log()
    return torch.matmul(probabilities.flatten(2, 3).to(values.dtype), values), lse.flatten(2)


def _read_own(q: Tensor, keys: Tensor, values: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Attend with q [n, beams, heads, width] each to its own keys [n, beams, depth, key heads, width]; as `_read`."""
    q = q.unflatten(2, (keys.shape[3], -1)).float() * scale
    scores = (q[:, :, None] * keys[..., None, :].float()).sum(-1)
    lse = scores.logsumexp(2)
    probabilities = (scores - lse[:, :, None]).exp()
    out = (probabilities[..., None] * values[..., None, :].float()).sum(2)
    return out.flatten(2, 3), lse.flatten(2)


def _merge(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Tensor:
    """Merge two attentions (output, log-sum-exp) over different keys into that over both; float32."""
    share = torch.sigmoid(one[1] - other[1])[..., None]
    return one[0].float() * share + other[0] * (1 - share)
