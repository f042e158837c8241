"""An encoder of the parts of a medium: regions of a picture, spans of a sound. Each gets a vector of its own.

One vector of a whole song or poster is the mean of what is in it. Those of its parts, one behind the other, keep what is
where, as the patches do that large vision-language models read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from recommender.data.media import read_image
from recommender.encoders.encoder import Encoder

#: samples of the shortest span
_SHORTEST = 400


class InParts:
    """A frozen encoder behind the parts of media."""

    def __init__(self, encoder: Encoder, medium: Literal["image", "audio"], parts: int) -> None:
        self.encoder, self.medium, self.parts = encoder, medium, parts

    @property
    def identity(self) -> str:
        """What the vectors depend on besides the medium."""
        return f"{self.encoder.identity} parts-1-{self.parts}"

    def load(self) -> None:
        """Load the model unless it is loaded. Raises AssetError."""
        self.encoder.load()

    def prepare(self, source: Path | Image.Image | np.ndarray) -> tuple[Any, ...]:
        """Read a medium, cut it, and prepare each part. Raises DataError."""
        if self.medium == "audio":
            return tuple(self.encoder.prepare(span) for span in spans(self.encoder.prepare(source), self.parts))
        picture = read_image(source) if isinstance(source, Path) else source
        assert isinstance(picture, Image.Image)
        return tuple(self.encoder.prepare(region) for region in regions(picture, self.parts))

    def encode(self, batch: Sequence[tuple[Any, ...]]) -> np.ndarray:
        """Encode prepared media to [n, parts * width] float32, the vectors of the parts one behind the other."""
        rows = self.encoder.encode([part for medium in batch for part in medium])
        return rows.reshape(len(batch), -1)


def in_parts(encoder: Encoder, medium: Literal["image", "audio"], parts: int) -> Encoder:
    """Return an encoder of so many parts of media; the encoder itself for one."""
    return InParts(encoder, medium, parts) if parts > 1 else encoder


def whole(encoder: Encoder) -> Encoder:
    """Return the encoder of whole media behind one of their parts; another encoder as it is."""
    return encoder.encoder if isinstance(encoder, InParts) else encoder


def spans(sound: np.ndarray, parts: int) -> list[np.ndarray]:
    """Cut a sound [samples] into spans of one length, up to a sample; one that is too short for that is repeated."""
    least = parts * _SHORTEST
    long = np.tile(sound, -(-least // len(sound))) if len(sound) < least else sound
    return np.array_split(long, parts)


def regions(picture: Image.Image, parts: int) -> list[Image.Image]:
    """Cut a picture into the cells of a grid, row by row, as many rows as columns or more: posters stand upright."""
    columns = max(number for number in range(1, math.isqrt(parts) + 1) if parts % number == 0)
    rows = parts // columns
    size = max(columns, picture.width), max(rows, picture.height)
    large = picture if picture.size == size else picture.resize(size)
    across = [round(number * large.width / columns) for number in range(columns + 1)]
    down = [round(number * large.height / rows) for number in range(rows + 1)]
    return [
        large.crop((across[column], down[row], across[column + 1], down[row + 1]))
        for row in range(rows)
        for column in range(columns)
    ]
