"""An encoder of sounds without weights: statistics of the mel-frequency cepstrum, loudness and spectrum."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recommender.data.media import read_audio
from recommender.encoders.librosa_calls import call_librosa, load_librosa
from recommender.errors import DataError

SAMPLE_RATE = 16_000
_COEFFICIENTS = 20
_FEATURE = "feature mfcc"
_SHORTEST = 4096  # samples; below, there are too few frames for differences


class MfccEncoder:
    """Mean and spread, over frames, of 20 cepstral coefficients, their changes and the shape of the spectrum.

    Such "bags of frames" were long the common description of timbre (Logan, "Mel frequency cepstral coefficients for
    music modeling", ISMIR 2000; Tzanetakis and Cook, "Musical genre classification of audio signals", 2002).
    """

    identity = f"mfcc-1 {_COEFFICIENTS} {SAMPLE_RATE}"

    def load(self) -> None:
        """Import librosa. Raises RecommenderError if it is not installed."""
        load_librosa(_FEATURE, "name whisper in its place")

    def prepare(self, source: Path) -> np.ndarray:
        """Read one sound as [samples] float32, 16 kHz, mono. Raises DataError."""
        sound = read_audio(source, SAMPLE_RATE)
        if not np.any(sound):
            raise DataError(f"{source}: the sound is silent", "replace the file, or leave the field blank")
        return np.pad(sound, (0, max(0, _SHORTEST - len(sound))))

    def encode(self, batch: Sequence[np.ndarray]) -> np.ndarray:
        """Return the statistics of sounds, [n, 84] float32 in the units of librosa, to be scaled before use."""
        return np.stack([call_librosa(_describe, sound, _FEATURE) for sound in batch])


def _describe(librosa: Any, sound: np.ndarray) -> np.ndarray:
    spectrum = np.abs(librosa.stft(sound))
    mel = librosa.feature.melspectrogram(S=spectrum**2, sr=SAMPLE_RATE)
    cepstrum = librosa.feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=_COEFFICIENTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # silent frames have no centroid; they count as zero
        shape = np.concatenate(
            [
                librosa.feature.spectral_centroid(S=spectrum, sr=SAMPLE_RATE),
                librosa.feature.spectral_bandwidth(S=spectrum, sr=SAMPLE_RATE),
                librosa.feature.spectral_rolloff(S=spectrum, sr=SAMPLE_RATE),
                librosa.feature.spectral_flatness(S=spectrum),
                librosa.feature.spectral_contrast(S=spectrum, sr=SAMPLE_RATE),
                librosa.power_to_db(librosa.feature.rms(S=spectrum) ** 2),
            ]
        )
    changes = np.diff(cepstrum, axis=1)
    parts = [cepstrum.mean(1), cepstrum.std(1), changes.std(1), shape.mean(1), shape.std(1)]
    return np.nan_to_num(np.concatenate(parts)).astype(np.float32)
