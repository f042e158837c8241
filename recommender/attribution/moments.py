"""A sound as windows, some of which are silenced in what the tower hears.

A sound's vector is the mean of the tower's states over time. The states of a silenced window are those that the tower has of
silence at the same place, for a state says where it is too: so the tower runs twice for all sets of windows. What the other
states have heard of the window stays. How well that tells what a sound with silence in it is worth is measured by
`recommender study attribution`, which silences the sound itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recommender.encoders.audio import SAMPLE_RATE, AudioEncoder
from recommender.encoders.music import MusicEncoder

#: seconds of a window, unless there would be too many
WINDOW_SECONDS = 1.0
#: 80 dB below
_FLOOR = 1e-4


@dataclass(frozen=True)
class Windows:
    """A prepared sound [samples] in windows. `edges` [windows + 1], in seconds. `heard`, `silent` [windows, width]: the sums
    of the tower's states of the sound and of silence, each times its share of the sound's vector."""

    sound: np.ndarray
    edges: np.ndarray
    heard: np.ndarray
    silent: np.ndarray

    @classmethod
    def of(cls, sound: np.ndarray, encoder: AudioEncoder | MusicEncoder, most: int) -> Windows:
        """Cut a prepared sound into windows of about a second, longer ones where it would be more than `most`."""
        edges = window_edges(len(sound), most)
        heard, silent = (_sums(encoder, samples, edges) for samples in (sound, silence(sound)))
        return cls(sound, edges, heard, silent)

    def __len__(self) -> int:
        return len(self.heard)

    @property
    def seconds(self) -> float:
        """How long the sound is."""
        return len(self.sound) / SAMPLE_RATE

    def hearing(self, sets: np.ndarray) -> np.ndarray:
        """Return the raw vectors [sets, width] float32 of the sound with the other windows silent; bool [sets, windows]."""
        return np.asarray(sets @ self.heard + ~sets @ self.silent, np.float32)

    def silenced(self, heard: np.ndarray) -> np.ndarray:
        """Return the samples with the windows silent that are not in `heard`, bool [windows]."""
        ends = (self.edges * SAMPLE_RATE).round().astype(int)
        return np.asarray(self.sound * np.repeat(heard, np.diff(ends)), np.float32)


def window_edges(samples: int, most: int) -> np.ndarray:
    """Return where the windows of a sound begin and end, in seconds [windows + 1]."""
    seconds = samples / SAMPLE_RATE
    return np.linspace(0, seconds, max(1, min(round(seconds / WINDOW_SECONDS), most)) + 1)


def silence(sound: np.ndarray) -> np.ndarray:
    """Return what silence within a sound is to Whisper, as long as the sound: the floor of its spectrogram, which lies 80 dB
    below the loudest. Alone, digital silence would be its own loudest."""
    noise = np.random.default_rng(0).standard_normal(len(sound))
    return np.asarray(noise * max(float(np.abs(sound).max()), 1e-6) * _FLOOR, np.float32)


def _sums(encoder: AudioEncoder | MusicEncoder, sound: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the sums [windows, width] of a sound's states, each times its share."""
    states, times, shares = encoder.moments(sound)
    window = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, len(edges) - 2)
    sums = np.zeros((len(edges) - 1, states.shape[1]))
    np.add.at(sums, window, states.astype(np.float64) * shares[:, None])
    return sums
