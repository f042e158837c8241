"""BSARec: self-attention beside a filter of low and high frequencies, in each block; and a causal kin of it.

Shin et al., "An attentive inductive bias for sequential recommendation beyond the self-attention", AAAI 2024.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recommender.baselines import losses
from recommender.baselines.baseline import FitData
from recommender.baselines.losses import Loss
from recommender.baselines.next_item import NextItemBaseline, NextItemNetwork, TrainingSchedule
from recommender.baselines.prefix_item import MixerBlock, MixerNetwork, PrefixBaseline, PrefixNetwork
from recommender.baselines.sasrec import dropout_for, recency_bias

CAUSAL_SCHEDULE = TrainingSchedule(length=50, epochs=25)


class Attention(nn.Module):
    """Self-attention, residual, post-norm."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.query, self.attend, self.merge = (nn.Linear(width, size) for size in (width, 2 * width, width))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, bias: Tensor, places: slice) -> Tensor:
        """Return the states of some places of x [windows, places, width]; bias broadcasts to [windows, heads, some, all]."""
        asking = x[:, places]
        queries, keys, values = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(asking), *self.attend(x).chunk(2, dim=-1))
        )
        dropped = self.dropout.p if self.training else 0.0
        attended = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, dropout_p=dropped)
        return self.norm(asking + self.dropout(self.merge(attended.transpose(1, 2).flatten(2))))


class FrequencyFilter(nn.Module):
    """Low frequencies and, weighted by a learned square, what is left; residual, post-norm.

    low_pass: [places, places], of `low_pass_matrix`; None leaves only the residual, which a reproduction found to
    rank as well (ECIR 2026, arXiv 2512.17442) and which does not look ahead.
    """

    low_pass: Tensor | None

    def __init__(self, width: int, dropout: float, low_pass: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("low_pass", low_pass, persistent=False)
        self.high = nn.Parameter(torch.randn(width))
        self.dropout, self.norm = nn.Dropout(dropout), nn.LayerNorm(width)

    def forward(self, x: Tensor, places: slice) -> Tensor:
        """Return the states of some places of x [windows, places, width]."""
        here = x[:, places]
        low = here if self.low_pass is None else self.low_pass[places] @ x
        return self.norm(here + self.dropout(low + self.high.square() * (here - low)))


class FilterBesideAttention(nn.Module):
    """`alpha` of the filter and 1 - `alpha` of attention."""

    def __init__(self, width: int, heads: int, dropout: float, alpha: float, low_pass: Tensor | None) -> None:
        super().__init__()
        self.alpha = alpha
        self.attention = Attention(width, heads, dropout)
        self.filter = FrequencyFilter(width, dropout, low_pass)

    def forward(self, x: Tensor, bias: Tensor, places: slice) -> Tensor:
        """Return the states of some places of x [windows, places, width]."""
        return torch.lerp(self.attention(x, bias, places), self.filter(x, places), self.alpha)


def low_pass_matrix(length: int, components: int) -> Tensor:
    """Return float32 [length, length], which keeps the `components` lowest frequencies of a sequence [length, ...]."""
    spectrum = torch.fft.rfft(torch.eye(length), dim=0)
    spectrum[components:] = 0
    return torch.fft.irfft(spectrum, n=length, dim=0)


class BsaRec(PrefixBaseline):
    """The network of the paper, see `PrefixBaseline` for its training.

    alpha: the share of the filter. cutoff: the filter takes cutoff // 2 + 1 frequencies for low ones.
    """

    def __init__(
        self,
        name: str = "bsarec",
        *,
        alpha: float = 0.7,
        cutoff: int = 5,
        width: int = 64,
        layers: int = 2,
        heads: int = 1,
        cyclic: bool = False,
        dropout: float | None = None,
        schedule: TrainingSchedule | None = None,
    ) -> None:
        super().__init__(name, cyclic, dropout, schedule)
        self.alpha, self.cutoff, self.width, self.layers, self.heads = alpha, cutoff, width, layers, heads

    def network(self, items: int, length: int, dropout: float) -> PrefixNetwork:
        """Return the network."""
        low_pass = low_pass_matrix(length, self.cutoff // 2 + 1)
        mixers = [
            FilterBesideAttention(self.width, self.heads, dropout, self.alpha, low_pass) for _ in range(self.layers)
        ]
        blocks = [MixerBlock(mixer, self.width, dropout) for mixer in mixers]
        return PrefixNetwork(items, length, self.width, blocks, dropout)


class CausalNetwork(MixerNetwork):
    """The blocks of BSARec without a filter: no place sees what comes later, so that all of them learn at once."""

    bias: Tensor

    def __init__(
        self, items: int, length: int, width: int, heads: int, blocks: Sequence[nn.Module], dropout: float
    ) -> None:
        super().__init__(items, length, width, blocks, dropout)
        self.register_buffer("bias", recency_bias(length, heads), persistent=False)

    def forward(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Return the states [windows, places, width] of inputs [windows, places]."""
        x, places = self.embedded(inputs, rows), inputs.shape[1]
        for block in self.blocks:
            x = block(x, self.bias[:, :places, :places], slice(None))
        return x


class CausalBsaRec(NextItemBaseline):
    """BSARec with the residual in place of the filter, trained on all places of a window at once: a fraction of the cost."""

    def __init__(
        self,
        name: str = "bsarec-causal",
        *,
        alpha: float = 0.7,
        width: int = 64,
        layers: int = 2,
        heads: int = 2,
        dropout: float | None = None,
        schedule: TrainingSchedule | None = None,
    ) -> None:
        super().__init__(name, schedule or CAUSAL_SCHEDULE)
        self.alpha, self.width, self.layers, self.heads, self.dropout = alpha, width, layers, heads, dropout

    def build(self, train: Sequence[np.ndarray], data: FitData) -> tuple[NextItemNetwork, Loss]:
        """Return the network and the softmax over the whole catalogue."""
        dropout = dropout_for(train) if self.dropout is None else self.dropout
        mixers = [FilterBesideAttention(self.width, self.heads, dropout, self.alpha, None) for _ in range(self.layers)]
        blocks = [MixerBlock(mixer, self.width, dropout) for mixer in mixers]
        return CausalNetwork(data.items, self.schedule.length, self.width, self.heads, blocks, dropout), losses.softmax
