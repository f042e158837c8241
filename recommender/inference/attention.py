"""Attention of many prompts and of their beams, over one cache of keys and values that is never copied.

Prompts are packed in one row, grouped by length, so that nothing is computed for padding. A beam attends to its prompt's
keys, which all beams share in one matrix product, and to its own few positions; the two results are merged by their
log-sum-exps, as FlashDecoding merges its splits (arXiv 2311.01282).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from recommender.model.attention_traits import PLAIN, Traits, attend_masked

#: Size of one channel of a block of queries. A block attends only to keys up to its own end, which halves the work of a
#: causal mask, and its scores fit into the processor's cache.
BLOCK_BYTES = 256
#: Up to this product of beams and keys, torch's fused kernel is faster on a bfloat16 cache than matrix products.
SMALL = 16384
#: Queries of a layer with traits that attend together: their scores are written out.
_ROWS = 256


@dataclass(frozen=True)
class Group:
    """Prompts of one width that are neighbours in the packing: `prompts` of them, `width` positions each, from `first` on.

    `lengths` [prompts]: how many positions are no padding (on a GPU, where shapes are static); None: all.
    """

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
    """Keys and values of each layer and group, [prompts, key heads, prefix + width, head width]; all beams share them.

    `prefix`: for each layer those of the instruction that all prompts begin with, [key heads, positions, head width].
    """

    groups: Sequence[Group]
    prefix: Sequence[tuple[Tensor, Tensor]] | None = None
    keys: list[list[Tensor]] = field(default_factory=list)
    values: list[list[Tensor]] = field(default_factory=list)

    def write(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Add a layer's keys and values [T, key heads, width]."""
        prefix = self.prefix[layer] if self.prefix else (None, None)
        self.keys.append([_with_prefix(prefix[0], _part_of(group, k)) for group in self.groups])
        self.values.append([_with_prefix(prefix[1], _part_of(group, v)) for group in self.groups])

    def visible(self, group: Group, total: int) -> Tensor | None:
        """Return which of `total` keys are no padding, bool [prompts, 1, 1, total]; None: all."""
        if group.lengths is None:
            return None
        lengths = group.lengths + (total - group.width)
        return (torch.arange(total, device=lengths.device) < lengths[:, None])[:, None, None]


@dataclass
class PromptAttention:
    """The prefill: each prompt attends to the instruction and causally to itself, and is written to the cache."""

    cache: PromptCache

    def __call__(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, last: bool = False, traits: Traits = PLAIN
    ) -> Tensor:
        """See Attention."""
        self.cache.write(layer, k, v)
        if not traits.plain(max(keys.shape[2] for keys in self.cache.keys[layer])):
            return _prefill_with_traits(self.cache, layer, q, scale, last, traits)
        outs, row = [], 0
        for group, keys, values in zip(
            self.cache.groups, self.cache.keys[layer], self.cache.values[layer], strict=True
        ):
            if last:
                queries = q[row : row + group.prompts, None]
                visible = self.cache.visible(group, keys.shape[2])
                outs.append(_attend_shared(queries, keys, values, scale, visible)[0].flatten(0, 1))
                row += group.prompts
            else:
                outs.append(
                    _attend_causally(q[group.first : group.end].unflatten(0, (group.prompts, -1)), keys, values, scale)
                )
        return _concatenate(outs)


@dataclass
class BeamAttention:
    """The beams: each attends to its prompt in the cache and to its own path.

    Packed in the order of the prompts, `beams` a prompt. `own_keys`, `own_values`: those of the paths, for each layer
    [prompts, beams, depth, key heads, width]; `follow` hands them on to the next beams.
    """

    cache: PromptCache
    beams: int = 1
    own_keys: list[Tensor] = field(default_factory=list)
    own_values: list[Tensor] = field(default_factory=list)

    def follow(self, parents: Tensor) -> None:
        """Make beam j of each prompt a child of beam `parents[:, j]` of the last step; `parents` [prompts, beams]."""
        self.beams = parents.shape[1]
        rows = torch.arange(len(parents), device=parents.device)[:, None]
        self.own_keys = [keys[rows, parents] for keys in self.own_keys]
        self.own_values = [values[rows, parents] for values in self.own_values]

    def __call__(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, last: bool = False, traits: Traits = PLAIN
    ) -> Tensor:
        """See Attention; `last` changes nothing, since every beam is a last position."""
        q, k, v = (part.unflatten(0, (-1, self.beams)) for part in (q, k, v))
        keys, values = self._append(layer, k, v)
        outs, row = [], 0
        for group, shared_k, shared_v in zip(
            self.cache.groups, self.cache.keys[layer], self.cache.values[layer], strict=True
        ):
            part = slice(row, row + group.prompts)
            row += group.prompts
            if not traits.plain(shared_k.shape[2] + keys.shape[2]):
                prompt = group, shared_k, shared_v
                outs.append(_beams_with_traits(q[part], prompt, (keys[part], values[part]), scale, traits))
                continue
            visible = self.cache.visible(group, shared_k.shape[2])
            shared = _attend_shared(q[part], shared_k, shared_v, scale, visible)
            outs.append(_merge(shared, _attend_own(q[part], keys[part], values[part], scale)))
        return _concatenate(outs).flatten(0, 1).to(q.dtype)

    def _append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        k, v = k[:, :, None], v[:, :, None]
        if layer == len(self.own_keys):
            self.own_keys.append(k)
            self.own_values.append(v)
        else:
            self.own_keys[layer] = torch.cat([self.own_keys[layer], k], 2)
            self.own_values[layer] = torch.cat([self.own_values[layer], v], 2)
        return self.own_keys[layer], self.own_values[layer]


def _part_of(group: Group, packed: Tensor) -> Tensor:
    """Return a group's part of [T, heads, width] as [prompts, heads, positions, width]."""
    return packed[group.first : group.end].unflatten(0, (group.prompts, -1)).transpose(1, 2)


def _concatenate(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _with_prefix(prefix: Tensor | None, rest: Tensor) -> Tensor:
    if prefix is None:
        return rest.contiguous()
    return torch.cat([prefix.expand(len(rest), -1, -1, -1), rest], 2)


def _attend_causally(q: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """Attend causally with q [n, positions, heads, width], the last positions of keys [n, key heads, total, width].

    Returns [n * positions, heads, width]. Block by block, in plain matrix products: on a CPU that is faster than the fused
    kernel of torch, which computes masked scores too.
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
        past = keys[:, :, :total].reshape(n * shared, total, width)
        scores = torch.bmm(rows, past.transpose(1, 2)).mul_(scale).unflatten(1, (-1, size))
        scores[..., total - size :].masked_fill_(future[:size, :size], -torch.inf)
        probabilities = torch.softmax(scores, -1).flatten(1, 2)
        attended = torch.bmm(probabilities, values[:, :, :total].reshape(n * shared, total, width))
        out[:, :, :, start:end] = attended.view(n, shared, -1, size, width)
    return out.permute(0, 3, 1, 2, 4).reshape(n * positions, heads, width)


def _attend_shared(
    q: Tensor, keys: Tensor, values: Tensor, scale: float, visible: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Attend with q [n, rows, heads, width] to keys [n, key heads, total, width], which all rows share.

    `visible` bool [n or 1, 1, rows or 1, total]. Returns the output [n, rows, heads, width] and log-sum-exps [n, rows,
    heads], float32. Heads that share a key head are rows of one product.
    """
    n, rows, heads, width = q.shape
    shared = keys.shape[1]
    folded = q.unflatten(2, (shared, -1)).permute(0, 2, 3, 1, 4).reshape(n, shared, -1, width)
    if visible is None and q.device.type == "cpu" and (q.dtype == torch.float32 or rows * keys.shape[2] <= SMALL):
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(folded, keys, values, scale=scale)
    else:
        out, lse = _products(folded * scale, keys, values, None if visible is None else visible[:, :, None], rows)
    out, lse = out.unflatten(2, (-1, rows)), lse.unflatten(2, (-1, rows))
    return out.permute(0, 3, 1, 2, 4).reshape(n, rows, heads, width), lse.permute(0, 3, 1, 2).reshape(n, rows, heads)


def _products(q: Tensor, keys: Tensor, values: Tensor, visible: Tensor | None, rows: int) -> tuple[Tensor, Tensor]:
    """Attend with scaled q [n, key heads, heads of a key head * rows, width], as the fused kernel does.

    `visible` bool [n or 1, 1, 1, rows or 1, total]. Returns the output in the shape of q, and log-sum-exps without width.
    """
    scores = torch.matmul(q, keys.transpose(2, 3)).unflatten(2, (-1, rows))
    if visible is not None:
        scores = scores.masked_fill(~visible, -torch.inf)
    probabilities = torch.softmax(scores, -1, dtype=torch.float32)
    # the largest score and its probability give the log-sum-exp without computing exponentials again
    lse = scores.amax(-1).float() - probabilities.amax(-1).log()
    return torch.matmul(probabilities.flatten(2, 3).to(values.dtype), values), lse.flatten(2)


def _attend_own(q: Tensor, keys: Tensor, values: Tensor, scale: float, traits: Traits = PLAIN) -> tuple[Tensor, Tensor]:
    """Attend with q [n, beams, heads, width] each to its own keys [n, beams, depth, key heads, width].

    Returns the same as `_attend_shared`.
    """
    q = q.unflatten(2, (keys.shape[3], -1)).float() * scale
    scores = traits.capped((q[:, :, None] * keys[..., None, :].float()).sum(-1))
    lse = scores.logsumexp(2)
    probabilities = (scores - lse[:, :, None]).exp()
    out = (probabilities[..., None] * values[..., None, :].float()).sum(2)
    return out.flatten(2, 3), lse.flatten(2)


def _last_positions(group: Group, total: int) -> Tensor | int:
    """Return the last position of each prompt of a group [prompts, 1], or the one that they share."""
    return total - 1 if group.lengths is None else (group.lengths + (total - group.width - 1))[:, None]


def _prefill_with_traits(cache: PromptCache, layer: int, q: Tensor, scale: float, last: bool, traits: Traits) -> Tensor:
    """As PromptAttention, for a layer with a window, a cap or sinks."""
    outs, row = [], 0
    for group, keys, values in zip(cache.groups, cache.keys[layer], cache.values[layer], strict=True):
        total = keys.shape[2]
        places = torch.arange(total, device=q.device)
        if last:
            ends = _last_positions(group, total)
            asking = places[None, ends : ends + 1] if isinstance(ends, int) else ends
            queries = q[row : row + group.prompts, None]
            row += group.prompts
        else:
            asking = places[None, total - group.width :]
            queries = q[group.first : group.end].unflatten(0, (group.prompts, -1))
        parts = []
        for start in range(0, queries.shape[1], _ROWS):
            at = asking[:, start : start + _ROWS, None]
            visible = places <= at
            if traits.window is not None:
                visible = visible & (places > at - traits.window)
            out, lse = attend_masked(queries[:, start : start + _ROWS], keys, values, scale, visible, traits)
            parts.append(traits.drained(out, lse))
        outs.append(torch.cat(parts, 1).flatten(0, 1))
    return _concatenate(outs).to(q.dtype)


def _beams_with_traits(
    q: Tensor,
    prompt: tuple[Group, Tensor, Tensor],
    own: tuple[Tensor, Tensor],
    scale: float,
    traits: Traits,
) -> Tensor:
    """As BeamAttention for the prompts of one group, [n, beams, heads, width], in a layer with a window, a cap or sinks."""
    (group, keys, values), (own_keys, own_values) = prompt, own
    total, depth = keys.shape[2], own_keys.shape[2]
    places = torch.arange(total, device=q.device)
    ends = _last_positions(group, total)
    visible = (places <= ends)[None] if isinstance(ends, int) else (places <= ends)[:, None]
    if traits.window is not None:
        first = ends + depth - traits.window + 1  # the beam stands `depth` behind the end
        seen = places >= first
        visible = visible & (seen[None] if isinstance(ends, int) else seen[:, None])
        own_keys, own_values = own_keys[:, :, -traits.window :], own_values[:, :, -traits.window :]
    visible = visible[None] if visible.dim() == 2 else visible
    shared = attend_masked(q, keys, values, scale, visible, traits)
    mine = _attend_own(q, own_keys, own_values, scale, traits)
    return traits.drained(_merge(shared, mine), torch.logaddexp(shared[1], mine[1]))


def _merge(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Tensor:
    """Merge two attention results (output, log-sum-exps) over different keys into the output over both, float32."""
    share = torch.sigmoid(one[1] - other[1])[..., None]
    return one[0].float() * share + other[0] * (1 - share)
