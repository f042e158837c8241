"""Even samples: a few of many, spread over all of them, without random numbers."""

from __future__ import annotations

import numpy as np


def evenly(count: int, most: int) -> np.ndarray:
    """Return int64 [min(count, most)]: rising indices below `count`, the first and the last among them."""
    return np.linspace(0, count - 1, min(most, count)).astype(np.int64)
