"""Attention of packed rows on a GPU without a mask: the examples as sequences of their own lengths, in one flash kernel.

Each example attends to the shared instruction and causally to itself, so its keys are those of the instruction and its own,
and the kernel's causal mask, aligned to the last key, is exactly the one of packed rows. Examples with branches (several
codes an item) are no sequences; batches that hold one are computed with the mask. So is everything else where the kernel
is missing or differs from the mask.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable

import torch
from torch import Tensor

from recommender.prompting.sequences import Sequences

logger = logging.getLogger(__name__)
#: (queries [T, heads, width], keys and values [S, key heads, width], where sequences of queries begin [n + 1], where those
#: of keys begin [n + 1], longest of queries, longest of keys, scale) -> [T, heads, width]
Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, int, int, float], Tensor]
_TOLERANCE = 0.02


def attend_sequences(
    query: Tensor, key: Tensor, value: Tensor, sequences: Sequences, scale: float, kernel: Kernel | None = None
) -> Tensor:
    """Attend: queries [rows, heads, positions, width], keys and values alike -> [rows, positions, heads, width]."""
    rows, heads, positions, width = query.shape
    flat = [part.transpose(1, 2).reshape(rows * positions, -1, part.shape[-1]) for part in (query, key, value)]
    keys, values = (part.index_select(0, sequences.key_places) for part in flat[1:])
    attended = (kernel or _flash)(flat[0], keys, values, sequences.queries, sequences.keys, *sequences.longest, scale)
    return attended.view(rows, positions, heads, width)


def _flash(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    queries: Tensor,
    keys: Tensor,
    longest: int,
    longest_keys: int,
    scale: float,
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    grouped = query.shape[1] != key.shape[1]
    return varlen_attn(
        query, key, value, queries, keys, longest, longest_keys, scale=scale, window_size=(-1, 0), enable_gqa=grouped
    )


def by_mask(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    queries: Tensor,
    keys: Tensor,
    longest: int,
    longest_keys: int,
    scale: float,
) -> Tensor:
    """Compute what the flash kernel computes, sequence by sequence with a mask: slow, and on any device."""
    parts = []
    for (q_start, q_stop), (k_start, k_stop) in zip(
        torch.stack([queries[:-1], queries[1:]], 1).tolist(),
        torch.stack([keys[:-1], keys[1:]], 1).tolist(),
        strict=True,
    ):
        count, seen = q_stop - q_start, k_stop - k_start
        mask = torch.ones(count, seen, dtype=torch.bool, device=query.device).tril(seen - count)
        q, k, v = (part.transpose(0, 1) for part in (query[q_start:q_stop], key[k_start:k_stop], value[k_start:k_stop]))
        attended = torch.nn.functional.scaled_dot_product_attention(
            q[None], k[None], v[None], mask, scale=scale, enable_gqa=q.shape[0] != k.shape[0]
        )
        parts.append(attended[0].transpose(0, 1))
    return torch.cat(parts)


@functools.cache
def is_usable(device: torch.device, dtype: torch.dtype, heads: int, key_heads: int, width: int) -> bool:
    """Whether the flash kernel is there for these sizes and computes what the mask does, on a small case and once."""
    if device.type != "cuda" or dtype not in (torch.float16, torch.bfloat16):
        return False
    sequences = Sequences.of([[5, 9]], [[False, True]], 3, 20).each(lambda part: part.to(device))
    generator = torch.Generator(device).manual_seed(0)

    def drawn(count: int) -> Tensor:
        return torch.randn(1, count, 20, width, device=device, dtype=dtype, generator=generator)

    tensors = drawn(heads), drawn(key_heads), drawn(key_heads)
    try:
        with torch.no_grad():
            fast, slow = (attend_sequences(*tensors, sequences, width**-0.5, kernel) for kernel in (None, by_mask))
    except (RuntimeError, ImportError) as error:
        logger.info("attention uses the mask: %s", next(iter(str(error).splitlines()), type(error).__name__))
        return False
    same = bool((fast - slow).abs().max() < _TOLERANCE)
    if not same:
        logger.warning("attention uses the mask: the flash kernel of this torch computes something else")
    return same
