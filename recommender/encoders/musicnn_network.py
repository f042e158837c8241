"""The network of musicnn, which tags music (Pons and Serra, "musicnn: Pre-trained convolutional neural networks for music
audio tagging", 2019), and the spectrogram that it reads.

Convolutions over the width of timbres (all of a chord's frequencies for a short time) and over that of rhythms (one band for
half a second to two) look at the spectrogram; three more look at what they found; its greatest and mean values over time
become 200 numbers, and these the tags.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

#: what the network was trained on
RATE, WINDOW, HOP, BANDS = 16_000, 512, 256, 96
#: frames of a window of 3 s
FRAMES = 187
_LOUDNESS = 10_000
_TIMBRES = ((7, 38), (7, 67))
_RHYTHMS = (128, 64, 32)
_TIMBRE_FILTERS, _RHYTHM_FILTERS, _MIDDLE_FILTERS, _MIDDLE_FRAMES = 204, 51, 64, 7
#: numbers of the last layer but one
WIDTH = 200
_EPSILON = 1e-3
# Slaney's scale: even steps up to 1,000 Hz, then even ratios, 27 steps for a factor of 6.4
_EVEN_STEP, _KNEE, _RATIO = 200 / 3, 1_000.0, np.log(6.4) / 27


class _Filter(nn.Module):
    """A convolution over the spectrogram, then the greatest value over all frequencies: [n, 1, time, bands] -> [n, filters,
    time]. `before` and `behind`: frames of silence around it."""

    def __init__(self, filters: int, kernel: tuple[int, int], before: int, behind: int) -> None:
        super().__init__()
        self.padding = (0, 0, before, behind)
        self.convolution = nn.Conv2d(1, filters, kernel)
        self.norm = nn.BatchNorm2d(filters, eps=_EPSILON)

    def forward(self, spectrum: Tensor) -> Tensor:
        found = functional.relu(self.convolution(functional.pad(spectrum, self.padding)))
        return self.norm(found).amax(-1)


class _Middle(nn.Module):
    """A convolution over time: [n, channels, time] -> [n, filters, time]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(channels, _MIDDLE_FILTERS, _MIDDLE_FRAMES, padding=_MIDDLE_FRAMES // 2)
        self.norm = nn.BatchNorm1d(_MIDDLE_FILTERS, eps=_EPSILON)

    def forward(self, channels: Tensor) -> Tensor:
        found: Tensor = self.norm(functional.relu(self.convolution(channels)))
        return found


class Musicnn(nn.Module):
    """Spectrograms -> 200 numbers and the logits of tags. Only ever used trained."""

    def __init__(self, tags: int = 50) -> None:
        super().__init__()
        self.spectrum = nn.ModuleDict({"norm": nn.BatchNorm2d(1, eps=_EPSILON)})
        self.timbral = nn.ModuleList([_Filter(_TIMBRE_FILTERS, kernel, 3, 3) for kernel in _TIMBRES])
        # as TensorFlow pads: the odd frame goes behind
        self.temporal = nn.ModuleList(
            [_Filter(_RHYTHM_FILTERS, (frames, 1), frames // 2 - 1, frames // 2) for frames in _RHYTHMS]
        )
        seen = len(_TIMBRES) * _TIMBRE_FILTERS + len(_RHYTHMS) * _RHYTHM_FILTERS
        self.middle = nn.ModuleList([_Middle(channels) for channels in (seen, _MIDDLE_FILTERS, _MIDDLE_FILTERS)])
        pooled = 2 * (seen + len(self.middle) * _MIDDLE_FILTERS)
        self.pooled = nn.ModuleDict({"norm": nn.BatchNorm1d(pooled, eps=_EPSILON)})
        self.penultimate = nn.ModuleDict(
            {"dense": nn.Linear(pooled, WIDTH), "norm": nn.BatchNorm1d(WIDTH, eps=_EPSILON)}
        )
        self.tags = nn.ModuleDict({"dense": nn.Linear(WIDTH, tags)})

    def forward(self, spectrograms: Tensor) -> tuple[Tensor, Tensor]:
        """Map spectrograms [n, frames, BANDS] to the last layer but one [n, WIDTH] and the tags' logits [n, tags]."""
        spectrum = self.spectrum["norm"](spectrograms[:, None])
        seen = torch.cat([look(spectrum) for look in (*self.timbral, *self.temporal)], 1)
        first = self.middle[0](seen)
        second = self.middle[1](first) + first
        third = self.middle[2](second) + second
        layers = torch.cat([seen, first, second, third], 1)
        both = torch.stack([layers.amax(-1), layers.mean(-1)], -1).flatten(1)
        dense = functional.relu(self.penultimate["dense"](self.pooled["norm"](both)))
        numbers: Tensor = self.penultimate["norm"](dense)
        return numbers, self.tags["dense"](numbers)


def spectrogram(sound: Tensor) -> Tensor:
    """Return the spectrogram [frames, BANDS] that musicnn reads of a sound [samples]: log10(1 + 10,000 energy).

    The original has the energy in half precision, where loud cells of many songs overflow to infinity; this has not.
    """
    window = torch.hann_window(WINDOW, device=sound.device)
    waves = torch.stft(sound, WINDOW, HOP, window=window, center=True, pad_mode="constant", return_complex=True)
    energy = waves.abs().square().T @ torch.from_numpy(mel_filters()).to(sound)
    return torch.log10(1 + _LOUDNESS * energy)


@lru_cache(maxsize=1)
def mel_filters() -> np.ndarray:
    """Return triangles [WINDOW / 2 + 1, BANDS] float32, even on Slaney's scale and of equal area, as librosa's `filters.mel`
    has them (Slaney, "Auditory Toolbox", 1998)."""
    edges = _hertz(np.linspace(0, _KNEE / _EVEN_STEP + np.log(RATE / 2 / _KNEE) / _RATIO, BANDS + 2))
    bins = np.linspace(0, RATE / 2, WINDOW // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return (np.clip(np.minimum(rising, falling), 0, None) * 2 / (edges[2:] - edges[:-2])).astype(np.float32)


def _hertz(steps: np.ndarray) -> np.ndarray:
    knee = _KNEE / _EVEN_STEP
    return np.where(steps < knee, steps * _EVEN_STEP, _KNEE * np.exp((steps - knee) * _RATIO))
