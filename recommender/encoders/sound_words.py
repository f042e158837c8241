"""What sounds are like, in words: quiet or loud, dark or bright, sparse or busy, smooth or percussive, even or dynamic.

Measured in the sound itself with librosa, and relative to the catalogue: a sound is called quiet if it is among the quietest
fifth of all. What lies between both ends has no word. The words are a table of facts that `data.facts` joins, so that songs
without an artist or a genre can be filtered and justified by what is heard in them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recommender.config import EncodersConfig
from recommender.data.catalogue import Catalogue
from recommender.data.media import audio_problems, read_audio
from recommender.data.standins import without_standins
from recommender.encoders.cached_batches import Work, run
from recommender.encoders.encoding_cache import EncodingCache, cache_folder
from recommender.encoders.librosa_calls import call_librosa, load_librosa
from recommender.encoders.media_sources import media_sources
from recommender.encoders.media_words import write_words
from recommender.encoders.video_parts import SoundTrack
from recommender.errors import DataError
from recommender.progress import Progress

#: the words for the lower and the upper end of each measure of `SoundMeter`; "": an end that has no plain word
WORDS = (
    ("quiet", "loud"),
    ("dark", "bright"),
    ("sparse", "busy"),
    ("smooth", "percussive"),
    ("even", "dynamic"),
    ("", "bass-heavy"),
    ("", "noisy"),
)
#: the share of all sounds that a word may be true of, and of how few nothing can be said
END, FEWEST = 0.2, 10
#: hertz; what lies below is bass
_BASS = 200
_RATE, _SHORTEST = 16_000, 16_000
_FLOOR = 1e-10
_FEATURE = "words for sounds"


class SoundMeter:
    """Measures sounds: loudness, brightness, events, percussion, dynamics, bass and noise."""

    identity = f"sound-words-3 {_RATE}"

    def load(self) -> None:
        """Import librosa. Raises RecommenderError if it is not installed."""
        load_librosa(_FEATURE)

    def prepare(self, source: Path | SoundTrack) -> np.ndarray:
        """Read one sound, or that of a video, as [samples] float32, 16 kHz, mono; [0] for a video with a silent one.

        Raises DataError, also for a silent file of sound.
        """
        sound = source.read() if isinstance(source, SoundTrack) else read_audio(source, _RATE)
        if "silent" in audio_problems(sound):
            if isinstance(source, SoundTrack):
                return np.zeros(0, np.float32)
            raise DataError(f"{source}: the sound is silent", "replace the file, or leave the field blank")
        return np.pad(sound, (0, max(0, _SHORTEST - len(sound))))

    def measure(self, batch: Sequence[np.ndarray]) -> np.ndarray:
        """Return float32 [sounds, 7]: mean loudness (dB), median centroid of the spectrum (Hz), onsets a second, the share
        of percussive energy (Fitzgerald, "Harmonic/Percussive Separation using Median Filtering", DAFx 2010), how far
        loud parts are above quiet ones (dB), the share of the energy that is bass, and the median
        flatness of the spectrum, which is 1 for noise. NaN for an empty sound."""
        rows = [
            call_librosa(_measures, sound, _FEATURE) if len(sound) else [float("nan")] * len(WORDS) for sound in batch
        ]
        return np.array(rows, np.float32)


def _measures(librosa: Any, sound: np.ndarray) -> list[float]:
    spectrum = np.abs(librosa.stft(sound))
    levels = 20 * np.log10(librosa.feature.rms(S=spectrum)[0] + _FLOOR)
    heard = levels > levels.max() - 60  # pauses are neither dark nor bright
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # silent frames have no centroid
        centroid = librosa.feature.spectral_centroid(S=spectrum, sr=_RATE)[0]
    flatness = librosa.feature.spectral_flatness(S=spectrum)[0]
    harmonic, percussive = librosa.decompose.hpss(spectrum)
    seconds = len(sound) / _RATE
    low, high = np.percentile(levels[heard], (10, 95))
    bands = (spectrum**2).sum(1)
    bass = bands[librosa.fft_frequencies(sr=_RATE) < _BASS].sum()
    return [
        float(10 * np.log10(np.mean(sound.astype(np.float64) ** 2) + _FLOOR)),
        float(np.median(centroid[heard])),
        len(librosa.onset.onset_detect(y=sound, sr=_RATE)) / seconds,
        float((percussive**2).sum() / max(float((percussive**2).sum() + (harmonic**2).sum()), _FLOOR)),
        float(high - low),
        float(bass / max(float(bands.sum()), _FLOOR)),
        float(np.median(flatness[heard])),
    ]


def words_of(measures: np.ndarray) -> list[tuple[str, ...]]:
    """Return the words for sounds with these measures, [sounds, measures]; a row that is not a number has none.

    Too few sounds (`FEWEST`) to be compared have none at all.
    """
    known = np.flatnonzero(np.isfinite(measures).all(1))
    words: list[list[str]] = [[] for _ in measures]
    most = int(END * len(known))
    for (low_word, high_word), column in zip(WORDS, measures.T, strict=True):
        if len(known) < FEWEST:
            break
        ordered = np.sort(column[known])
        low, high = ordered[most], ordered[-most - 1]  # of equal values at an end none has its word
        for row in known.tolist():
            word = low_word if column[row] < low else high_word if column[row] > high else ""
            words[row] += [word] if word else []
    return [tuple(row) for row in words]


def describe_sounds(
    catalogue: Catalogue, config: EncodersConfig, progress: Progress | None = None
) -> list[tuple[str, ...]]:
    """Return the words for each item's sound or the sound of its video, none for an item without one or with a stand-in.

    `config`: how videos are read, and where measures are kept. Raises DataError, also where no item has a sound of its own,
    and RecommenderError without librosa.
    """
    meter = SoundMeter()
    sources = media_sources(without_standins(catalogue), "audio", config)
    present = {row: source for row, source in enumerate(sources) if source is not None}
    if not present:
        raise DataError(
            "no item has a sound of its own", "name files in the column audio, or videos in the column video"
        )

    def compute(sounds: Sequence[np.ndarray]) -> list[bytes | None]:
        rows = meter.measure(sounds)
        return [
            row.tobytes() if np.isfinite(row).all() or not len(sound) else None
            for row, sound in zip(rows, sounds, strict=True)
        ]

    work = Work("measuring sounds", meter.identity, meter.load, meter.prepare, compute)
    measures = np.full((len(sources), len(WORDS)), np.nan, np.float32)
    values, _ = run(
        work, list(present.values()), EncodingCache(cache_folder(config.cache)), config.batch_size, progress
    )
    for row, source in present.items():
        measures[row] = np.frombuffer(values[source.content], np.float32)
    return words_of(measures)


def save_words(path: Path, item_ids: Sequence[str], columns: Mapping[str, Sequence[tuple[str, ...]]]) -> None:
    """Write the words of sounds as `write_words` does. Raises DataError if none has any."""
    nothing = DataError(
        f"{path}: no item has a sound that differs from the others; it was not written",
        f"give {FEWEST} items or more sounds of their own, in the column audio",
    )
    write_words(path, item_ids, columns, nothing)
