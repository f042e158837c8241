"""Packs prompts for inference: one row of all of them, in groups of one length, so that nothing is computed for padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from recommender.inference.attention import Group
from recommender.prompting.example import Example
from recommender.prompting.packing import Batch
from recommender.prompting.row_mask import RowMask

#: On a GPU prompts are padded to a multiple of this, so that there are few shapes, and a CUDA graph of each can be kept.
BUCKET = 64


def padded(device: torch.device) -> bool:
    """Whether prompts are padded to one recurring shape: on a GPU, where launching kernels costs most."""
    return device.type != "cpu"


def groups_of(lengths: Sequence[int], device: torch.device, static: bool) -> Iterator[Group]:
    """Yield the groups of prompts of ascending lengths: one for each length, or one padded group of all if `static`."""
    if static:
        width = -(-lengths[-1] // BUCKET) * BUCKET
        yield Group(0, len(lengths), width, torch.tensor(lengths, device=device))
        return
    first, start = 0, 0
    for end in range(1, len(lengths) + 1):
        if end == len(lengths) or lengths[end] != lengths[start]:
            group = Group(first, end - start, lengths[start])
            yield group
            first, start = group.end, end


def pack_prompts(
    prompts: Sequence[Example], groups: Sequence[Group], shared: int, device: torch.device
) -> tuple[Batch, Tensor, Tensor]:
    """Return the prompts without their first `shared` positions as one row, and its positions within the prompts [T].

    Third comes the place in the row where each prompt ends, [prompts].
    """
    widths = [group.width for group in groups for _ in range(group.prompts)]
    columns = {}
    for name, fill in (("tokens", 0), ("items", -1), ("slots", 0)):
        parts = [getattr(prompt, name)[shared:] for prompt in prompts]
        padded_parts = [np.pad(p, (0, w - len(p)), constant_values=fill) for p, w in zip(parts, widths, strict=True)]
        columns[name] = torch.from_numpy(np.concatenate(padded_parts))[None].to(device)
    positions = torch.from_numpy(shared + np.concatenate([np.arange(width) for width in widths])).to(device)
    starts = np.cumsum([0, *widths[:-1]])
    last = torch.from_numpy(starts + [len(prompt) - shared - 1 for prompt in prompts]).to(device)
    unused = positions.new_zeros(0)
    mask = RowMask(unused, unused, unused)
    batch = Batch(**columns, positions=positions[None], labels=unused, interaction_ids=unused, mask=mask, writes=False)
    return batch, positions, last
