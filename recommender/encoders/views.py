"""Augmented views of pictures and sounds; each is a function of the content and the view's number alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from recommender.config import Modality
from recommender.encoders.audio import SAMPLE_RATE
from recommender.numerics.resampling import resampled

VERSION = 1
"""To be raised whenever a view changes, so that cached vectors of the old views are not used."""
_LEAST_AREA = 0.6
_STRETCH = 0.2
_JITTER = 0.2
_GAIN_DB = 6.0
_SHIFT_SECONDS = 0.1
_SPEED_PERCENT = 5
_NOISE_DB = (25.0, 45.0)
"""How far below the sound the noise lies, least and most."""


def picture_view(picture: Image.Image, number: int) -> Image.Image:
    """Return view `number` of an RGB picture, of its size: cropped and enlarged, perhaps flipped, with jittered colours.

    The operations are torchvision's, but not the random numbers: torchvision's classes share one generator between all
    threads that prepare pictures, so views would depend on the order of the threads.
    """
    from torchvision.transforms.v2 import functional

    random = _generator(picture.tobytes(), number)
    top, left, height, width = _crop(picture.height, picture.width, random)
    size = [picture.height, picture.width]
    view = functional.resized_crop(picture, top, left, height, width, size, functional.InterpolationMode.BICUBIC)
    view = functional.horizontal_flip(view) if random.random() < 0.5 else view
    for adjust in (functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation):
        view = adjust(view, random.uniform(1 - _JITTER, 1 + _JITTER))
    return view


def sound_view(samples: np.ndarray, number: int) -> np.ndarray:
    """Return view `number` of a sound [samples] at SAMPLE_RATE: with another speed, start and gain, and faint noise."""
    random = _generator(samples.tobytes(), number)
    speed = int(random.integers(100 - _SPEED_PERCENT, 101 + _SPEED_PERCENT))
    view = _shifted(resampled(samples, 100, speed), random)
    noise = random.standard_normal(len(view)) * np.sqrt(np.mean(view**2)) * _amplitude(-random.uniform(*_NOISE_DB))
    return np.asarray((view + noise) * _amplitude(random.uniform(-_GAIN_DB, _GAIN_DB)), np.float32)


#: How a view is made of a medium that has been read.
VIEWS: Mapping[Modality, Callable[[Any, int], Any]] = {"image": picture_view, "audio": sound_view}


def _generator(content: bytes, number: int) -> np.random.Generator:
    seed = int.from_bytes(hashlib.sha256(content).digest()[:8], "big")
    return np.random.default_rng([VERSION, number, seed])


def _crop(height: int, width: int, random: np.random.Generator) -> tuple[int, int, int, int]:
    """Draw top, left, height and width of a crop, in pixels: most of the area, shaped nearly like the whole."""
    side, stretch = math.sqrt(random.uniform(_LEAST_AREA, 1)), math.exp(random.uniform(-_STRETCH, _STRETCH) / 2)
    rows = max(1, min(height, round(height * side * stretch)))
    columns = max(1, min(width, round(width * side / stretch)))
    return int(random.integers(height - rows + 1)), int(random.integers(width - columns + 1)), rows, columns


def _shifted(samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Start a sound later, or with silence, by up to a tenth of a second and of its length."""
    most = min(round(_SHIFT_SECONDS * SAMPLE_RATE), len(samples) // 10)
    start = int(random.integers(-most, most + 1))
    return samples[start:] if start >= 0 else np.pad(samples, (-start, 0))


def _amplitude(decibels: float) -> float:
    return float(10 ** (decibels / 20))
