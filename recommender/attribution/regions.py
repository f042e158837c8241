"""A picture as a grid of regions, some of which are covered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from PIL import Image, ImageFilter

#: how wide the blur is that covers a region, as a share of the picture's longer side
_BLUR = 0.12


@dataclass(frozen=True)
class Regions:
    """The regions of a picture, row by row: `rows` x `columns` of about one size, at most one a pixel. `fill`: what covers
    one, the mean colour of the whole picture or its blurred self."""

    picture: Image.Image
    rows: int
    columns: int
    fill: Literal["mean", "blur"] = "mean"

    @classmethod
    def of(cls, picture: Image.Image, rows: int, columns: int, fill: Literal["mean", "blur"] = "mean") -> Regions:
        """Cut an RGB picture, a small one into fewer regions."""
        return cls(picture, min(rows, picture.height), min(columns, picture.width), fill)

    def __len__(self) -> int:
        return self.rows * self.columns

    @cached_property
    def _pixels(self) -> np.ndarray:
        return np.asarray(self.picture, np.uint8)

    @cached_property
    def _cover(self) -> np.ndarray:
        if self.fill == "mean":
            mean = self._pixels.reshape(-1, 3).mean(0).round().astype(np.uint8)
            return np.broadcast_to(mean, self._pixels.shape)
        radius = max(self.picture.size) * _BLUR
        return np.asarray(self.picture.filter(ImageFilter.GaussianBlur(radius)), np.uint8)

    @property
    def boxes(self) -> list[tuple[int, int, int, int]]:
        """Left, top, right and bottom of each region, in pixels."""
        across, down = _edges(self.picture.width, self.columns), _edges(self.picture.height, self.rows)
        return [
            (across[column], down[row], across[column + 1], down[row + 1])
            for row in range(self.rows)
            for column in range(self.columns)
        ]

    def showing(self, shown: np.ndarray) -> Image.Image:
        """Return the picture with the regions covered that are not in `shown`, bool [regions]."""
        pixels = self._pixels.copy()
        for is_shown, (left, top, right, bottom) in zip(shown, self.boxes, strict=True):
            if not is_shown:
                pixels[top:bottom, left:right] = self._cover[top:bottom, left:right]
        return Image.fromarray(pixels)


def _edges(length: int, parts: int) -> list[int]:
    return [int(edge) for edge in np.linspace(0, length, parts + 1).round()]
