"""What the attention of one layer has beyond queries, keys and values: a sliding window, a cap of its scores, sinks.

transformers hands these to the attention function of each layer, by keyword; here they are kept together, so that every path
of ours (training rows, prefill, beams, writing) computes the same. Kernels of torch know none of them, so a layer that has
one is computed in plain matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Traits:
    """The traits of one layer's attention.

    `window`: a position attends to itself and to the `window - 1` before it (Mistral, Gemma); None: to all.
    `softcap`: scores are bent by `softcap * tanh(score / softcap)` (Gemma 2). `sinks` [heads]: scores of a key without a
    value, which takes a part of the probabilities (gpt-oss).
    """

    window: int | None = None
    softcap: float | None = None
    sinks: Tensor | None = None

    @property
    def bent(self) -> bool:
        """Whether scores are changed, or probabilities: a mask alone says no more what is computed."""
        return self.softcap is not None or self.sinks is not None

    def plain(self, positions: int) -> bool:
        """Whether they change nothing for a prompt of so many positions."""
        return not self.bent and (self.window is None or self.window >= positions)

    def capped(self, scores: Tensor) -> Tensor:
        """Return scores as the softmax takes them."""
        return scores if self.softcap is None else self.softcap * torch.tanh(scores / self.softcap)

    def drained(self, out: Tensor, lse: Tensor) -> Tensor:
        """Return an output [..., heads, width] without the share of the sinks; `lse` [..., heads]: its log-sum-exps."""
        if self.sinks is None:
            return out
        return out * torch.sigmoid(lse - self.sinks.to(lse))[..., None]


PLAIN = Traits()


def attend_masked(
    q: Tensor, keys: Tensor, values: Tensor, scale: float, visible: Tensor, traits: Traits
) -> tuple[Tensor, Tensor]:
    """Attend with q [n, rows, heads, width] to keys and values [n, key heads, total, width]; sinks are left to `drained`.

    `visible` bool [n or 1, rows or 1, total]. Returns output [n, rows, heads, width] and log-sum-exps [n, rows, heads], both
    float32. A row that sees nothing has an output of no meaning, and a log-sum-exp so low that a merge drops it.
    """
    folded = q.unflatten(2, (keys.shape[1], -1)).permute(0, 2, 3, 1, 4)
    scores = torch.matmul(folded, keys[:, :, None].transpose(-1, -2)).float() * scale
    hidden = ~visible[:, None, None]
    scores = traits.capped(scores).masked_fill(hidden, torch.finfo(torch.float32).min)
    lse = scores.logsumexp(-1)
    probabilities = (scores - lse[..., None]).exp().to(values.dtype)
    out = torch.matmul(probabilities, values[:, :, None]).float()
    return out.permute(0, 3, 1, 2, 4).flatten(2, 3), lse.permute(0, 3, 1, 2).flatten(2)
