"""What stands for the picture and for the sound of an item with a video: some of its frames, and its sound track."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from recommender.data.video import VERSION, read_frames, read_sound_track


@dataclass(frozen=True)
class VideoPart(ABC):
    """A part of the video at `path`. What it is of the same file does not change but with `kind`."""

    path: Path

    @property
    @abstractmethod
    def kind(self) -> str:
        """What is read of the file: it tells the vectors of one part in the cache from those of others."""

    @abstractmethod
    def read(self) -> Any:
        """Return what an encoder prepares. Raises DataError, and RecommenderError without PyAV."""


@dataclass(frozen=True)
class VideoFrames(VideoPart):
    """Up to `count` frames: see `read_frames`."""

    count: int

    @property
    def kind(self) -> str:
        """That, the version of the reader, and how many."""
        return f"frames-{VERSION}-{self.count}"

    def read(self) -> list[Image.Image]:
        """Return RGB pictures in their order. Raises DataError, and RecommenderError without PyAV."""
        return read_frames(self.path, self.count)


@dataclass(frozen=True)
class SoundTrack(VideoPart):
    """The first `seconds` of the sound, at 16 kHz."""

    seconds: float

    @property
    def kind(self) -> str:
        """That, the version of the reader, and how long."""
        return f"track-{VERSION}-{self.seconds:g}"

    def read(self) -> np.ndarray:
        """Return mono float32 [samples]. Raises DataError, and RecommenderError without PyAV."""
        return read_sound_track(self.path, self.seconds)
