"""WEARec: filters that depend on the history for the whole of it, and wavelets for what is near; no attention.

Xu et al., "Wavelet enhanced adaptive frequency filter for sequential recommendation", AAAI 2026 (arXiv 2511.07028).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recommender.baselines.next_item import TrainingSchedule
from recommender.baselines.prefix_item import SPREAD, MixerBlock, PrefixBaseline, PrefixNetwork

_INITIAL_BIAS = -0.1


class AdaptiveFilter(nn.Module):
    """Scales and shifts each frequency of each head, by learned numbers that the mean of the window changes.

    A Fourier transform of so few places is cheaper as a product with its matrix, and a single place of the inverse can
    be had without the others.
    """

    cosines: Tensor
    sines: Tensor
    back_cosines: Tensor
    back_sines: Tensor

    def __init__(self, length: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads, frequencies = heads, length // 2 + 1
        forward = torch.fft.rfft(torch.eye(length), dim=0, norm="ortho")
        ones = torch.eye(frequencies, dtype=torch.complex64)
        for name, matrix in {
            "cosines": forward.real,
            "sines": forward.imag,
            "back_cosines": torch.fft.irfft(ones, n=length, dim=0, norm="ortho"),
            "back_sines": torch.fft.irfft(1j * ones, n=length, dim=0, norm="ortho"),
        }.items():
            self.register_buffer(name, matrix.clone(), persistent=False)
        self.scale = nn.Parameter(torch.ones(frequencies, heads, 1))
        self.shift = nn.Parameter(torch.full((frequencies, heads, 1), _INITIAL_BIAS))
        self.adapt = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, frequencies * heads * 2))

    def forward(self, x: Tensor, places: slice) -> Tensor:
        """Return some filtered places of x [windows, length, width]."""
        changes = self.adapt(x.mean(1)).unflatten(-1, (len(self.scale), self.heads, 2))
        scale, shift = self.scale * (1 + changes[..., :1]), self.shift + changes[..., 1:]
        real, imaginary = ((matrix @ x).unflatten(-1, (self.heads, -1)) for matrix in (self.cosines, self.sines))
        # the inverse, place by place, of spectrum * scale + shift, whose shift is real
        filtered_real, filtered_imaginary = (real * scale + shift).flatten(2), (imaginary * scale).flatten(2)
        return self.back_cosines[places] @ filtered_real + self.back_sines[places] @ filtered_imaginary


class HaarDetail(nn.Module):
    """Weighs the difference of each pair of neighbours against its mean: one level of Haar's wavelet and back."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(length // 2, width) * SPREAD)

    def forward(self, x: Tensor) -> Tensor:
        """Return the shape of x [windows, even length, width]."""
        first, second = x.unflatten(1, (-1, 2)).unbind(2)
        mean, detail = (first + second) / 2, (first - second) / 2 * self.weight
        return torch.stack([mean + detail, mean - detail], 2).flatten(1, 2)


class WaveletFilter(nn.Module):
    """`alpha` of the adaptive filter and 1 - `alpha` of the wavelet, residual, post-norm."""

    def __init__(self, length: int, width: int, heads: int, alpha: float, dropout: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.everywhere, self.nearby = AdaptiveFilter(length, width, heads), HaarDetail(length, width)
        self.dropout, self.norm = nn.Dropout(dropout), nn.LayerNorm(width)

    def forward(self, x: Tensor, bias: Tensor, places: slice) -> Tensor:
        """Return the states of some places of x [windows, length, width]; without attention there is nothing to bias."""
        mixed = torch.lerp(self.nearby(x)[:, places], self.everywhere(x, places), self.alpha)
        return self.norm(x[:, places] + self.dropout(mixed))


class WeaRec(PrefixBaseline):
    """The network of the paper, see `PrefixBaseline` for its training. alpha: the share of the adaptive filter."""

    def __init__(
        self,
        name: str = "wearec",
        *,
        alpha: float = 0.2,
        width: int = 64,
        layers: int = 2,
        heads: int = 8,
        cyclic: bool = False,
        dropout: float | None = None,
        schedule: TrainingSchedule | None = None,
    ) -> None:
        super().__init__(name, cyclic, dropout, schedule)
        self.alpha, self.width, self.layers, self.heads = alpha, width, layers, heads

    def network(self, items: int, length: int, dropout: float) -> PrefixNetwork:
        """Return the network."""
        mixers = [WaveletFilter(length, self.width, self.heads, self.alpha, dropout) for _ in range(self.layers)]
        blocks = [MixerBlock(mixer, self.width, dropout) for mixer in mixers]
        return PrefixNetwork(items, length, self.width, blocks, dropout)
