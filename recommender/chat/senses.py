"""Queries that are no text: a spoken message becomes a text, a picture becomes nats for the items that look like it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from recommender.config import Config
from recommender.encoders.audio import SAMPLE_RATE, AudioEncoder
from recommender.encoders.image import ImageEncoder
from recommender.encoders.pipeline import encode_catalogue
from recommender.errors import DataError
from recommender.recipe import load_catalogue

LONGEST_SECONDS = 60
#: nats between what looks most like a picture and the average item
LIKENESS = 4.0


class Senses:
    """The frozen encoders of a model, loaded when they are first needed."""

    def __init__(self, config: Config) -> None:
        """`config`: that of the checkpoint; its catalogue's pictures are encoded once and cached."""
        self.config = config

    def hear(self, path: Path) -> str:
        """Return what is said in a sound file. Raises DataError if it is none, is too long, or nothing is said in it."""
        if self.config.encoders.audio is None:
            raise DataError(f"{path}: this model has no audio encoder", "type the message")
        encoder = AudioEncoder(self.config.encoders.audio)
        sound = encoder.prepare(path)
        seconds = len(sound) / SAMPLE_RATE
        if seconds > LONGEST_SECONDS:
            raise DataError(f"{path}: {seconds:.0f} seconds are too long", f"say it in {LONGEST_SECONDS} seconds")
        if not (text := encoder.transcript(sound)):
            raise DataError(f"{path}: nothing is said in it", "speak louder, or type the message")
        return text

    def see(self, path: Path) -> np.ndarray:
        """Return float [items]: nats for looking like a picture. Raises DataError if it is none."""
        if self.config.encoders.image is None:
            raise DataError(f"{path}: this model has no image encoder", "describe the picture in words")
        encoder = ImageEncoder(self.config.encoders.image)
        query = encoder.encode([encoder.prepare(path)])[0]
        alike = self._pictures @ (query / max(float(np.linalg.norm(query)), 1e-9))
        alike = np.where(self._known, alike - alike[self._known].mean(), 0.0)
        return np.asarray(LIKENESS * alike / max(float(np.abs(alike).max()), 1e-9))

    @cached_property
    def _raw(self) -> tuple[np.ndarray, np.ndarray]:
        only = self.config.encoders.model_copy(update={"text": None, "audio": None})
        raw = encode_catalogue(load_catalogue(self.config), only)
        return raw.vectors["image"], raw.present["image"]

    @cached_property
    def _pictures(self) -> np.ndarray:
        vectors = self._raw[0].astype(np.float32)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    @property
    def _known(self) -> np.ndarray:
        return self._raw[1]
