"""Made-up pictures and sounds."""

from __future__ import annotations

import numpy as np
from PIL import Image

from recommender.encoders.audio import SAMPLE_RATE


def picture(seed: int) -> Image.Image:
    """Noise in colours."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 30, 3), dtype=np.uint8))


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    """Tones that come and go, so that no two windows sound alike."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    random = np.random.default_rng(seed)
    tone = np.sin(2 * np.pi * (200 + 300 * random.random()) * time * (1 + 0.02 * time))
    return (0.3 * tone + 0.02 * random.standard_normal(len(time))).astype(np.float32)
