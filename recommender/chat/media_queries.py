"""Queries that are no text: a spoken message becomes a text, a picture becomes nats for the items that look like it."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from recommender.config import Config
from recommender.data.media import audio_problems, audio_seconds, image_problems, read_audio, read_image
from recommender.encoders.audio import SAMPLE_RATE, AudioEncoder
from recommender.encoders.features import Features
from recommender.encoders.image import ImageEncoder
from recommender.encoders.music import hears_speech
from recommender.encoders.pipeline import encode_catalogue
from recommender.encoders.reduction import Reduction
from recommender.engine.background import check_stop
from recommender.errors import DataError, RecommenderError
from recommender.numerics.vectors import unit_rows
from recommender.pipelines.train import load_catalogue

LONGEST_SECONDS = 60
SHORTEST_SECONDS = 0.1
#: of a picture that somebody sends: one of 24 megapixels passes
MOST_PIXELS = 25_000_000
#: nats between what looks most like a picture and the average item
LIKENESS = 4.0
_SAME = 1e-5  # of cosines: float32 makes such differences of nothing


class MediaQueries:
    """The frozen encoders of a model, loaded when they are first needed. Threads may share one: they take turns."""

    def __init__(self, config: Config, features: Features | None = None) -> None:
        """`config`: that of the checkpoint. `features`: the model's own; without reductions in them, as in older
        checkpoints, the catalogue's pictures are encoded once and cached."""
        self.config, self.features = config, features
        self._turn = threading.Lock()

    def load(self) -> None:
        """Load now what reads sounds and pictures, so that nobody waits for it.

        What is not at hand is left for those who ask, and so are pictures of a catalogue that must be encoded first.
        """
        encoders = self.config.encoders
        with self._turn, suppress(RecommenderError):
            if encoders.named("image") is not None:
                self._image_encoder.load()
                if self._reduction is not None:
                    self._pictures  # noqa: B018  kept once it is known
        with self._turn, suppress(RecommenderError):
            if hears_speech(encoders.named("audio")):
                self._audio_encoder.load()

    def hear(self, source: Path | bytes, hint: str | None = None) -> str:
        """Return what is said in a sound: a file, or the content of one.

        Raises DataError if it is none, is too long, or nothing is said in it, and AbandonedError if nobody waits for it.
        `hint`: words that may well be said. How long a sound is stands in its header, so that hours of it are refused
        before they are decoded.
        """
        name = "the sound" if isinstance(source, bytes) else source
        if self.config.encoders.named("audio") is None:
            raise DataError(f"{name}: this model has no audio encoder", "type the message")
        if not hears_speech(self.config.encoders.named("audio")):
            raise DataError(f"{name}: this model's audio encoder hears music, not speech", "type the message")
        seconds = audio_seconds(source)
        if seconds > LONGEST_SECONDS:
            long = f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
            raise DataError(f"{name}: {long} of sound are too long", f"say it in {LONGEST_SECONDS} seconds")
        with self._turn:
            sound = self._audio_encoder.prepare(read_audio(source, SAMPLE_RATE))
            # of silence Whisper makes words, and of what is too short for one
            silent = len(sound) < SHORTEST_SECONDS * SAMPLE_RATE or "silent" in audio_problems(sound)
            text = "" if silent else self._audio_encoder.transcript(sound, hint, check_stop)
        if not any(char.isalnum() for char in text):
            raise DataError(f"{name}: nothing is said in it", "speak louder, or type the message")
        return text

    def see(self, source: Path | bytes) -> np.ndarray:
        """Return float [items]: nats for looking like a picture: a file, or the content of one.

        Raises DataError if it is none, if nothing is to be seen in it, and if all items look alike beside it: then it says
        nothing of what is wanted.
        """
        name = "the picture" if isinstance(source, bytes) else source
        if self.config.encoders.named("image") is None:
            raise DataError(f"{name}: this model has no image encoder", "describe the picture in words")
        with self._turn:
            picture = read_image(source, MOST_PIXELS)
            if "blank" in image_problems(picture):
                raise DataError(f"{name}: nothing is to be seen in it, it is of one colour", "send another one")
            vector = self._image_encoder.encode([self._image_encoder.prepare(picture)])
            vectors, known = self._pictures
            if self._reduction is not None:
                vector = self._reduction.apply(vector)
        if not known.any():
            raise DataError(f"{name}: the catalogue has no pictures to compare it with", "describe it in words")
        return likeness_nats(name, vector[0], vectors, known)

    @cached_property
    def _audio_encoder(self) -> AudioEncoder:
        name = self.config.encoders.named("audio")
        assert name is not None
        return AudioEncoder(name)

    @cached_property
    def _image_encoder(self) -> ImageEncoder:
        name = self.config.encoders.named("image")
        assert name is not None
        return ImageEncoder(name)

    @cached_property
    def _reduction(self) -> Reduction | None:
        reduction = self.features.reductions.get("image") if self.features is not None else None
        return reduction if reduction is not None and reduction.encoder == self._image_encoder.identity else None

    @cached_property
    def _pictures(self) -> tuple[np.ndarray, np.ndarray]:
        """The catalogue's pictures [items, width] as the query will be, and which items have one [items]."""
        if self._reduction is not None and self.features is not None:
            return self.features.table("image"), self.features.present["image"]
        others: dict[str, Any] = dict.fromkeys(("text", "knowledge", "audio", "collaborative"))
        # whole, as the picture that is shown is, also where the model reads the catalogue's in parts
        encoders = self.config.encoders.model_copy(update=others | {"image_parts": 1})
        raw = encode_catalogue(load_catalogue(self.config), encoders)
        if "image" not in raw.vectors:  # no item has a picture
            return np.zeros((raw.items, 0), np.float32), np.zeros(raw.items, bool)
        pictures = raw.vectors["image"]
        assert isinstance(pictures, np.ndarray)  # they are encoded, not given
        return pictures.astype(np.float32), raw.present["image"]


def likeness_nats(name: Path | str, vector: np.ndarray, vectors: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return float [items]: nats for the likeness of a picture's vector [width] to those of the items [items, width].

    The average item that has a picture, bool `known` [items], gets none, and so do those without one. Raises DataError,
    which calls the picture `name`, for a vector that points nowhere, and where no item is any more like it than another.
    """
    if not np.isfinite(vector).all() or not vector.any():
        raise DataError(f"{name}: the image encoder makes nothing of it", "send another one, or describe it in words")
    with np.errstate(invalid="ignore"):
        likeness = unit_rows(vectors) @ unit_rows(vector[None])[0]
    known = known & np.isfinite(likeness)
    likeness = np.where(known, likeness - likeness[known].mean() if known.any() else 0.0, 0.0)
    most = float(np.abs(likeness).max(initial=0))
    if most < _SAME:
        raise DataError(f"{name}: all pictures of the catalogue are equally like it", "describe it in words")
    return np.asarray(LIKENESS * likeness / most)
