"""Sounds at another rate."""

from __future__ import annotations

import numpy as np


def resampled(samples: np.ndarray, up: int, down: int) -> np.ndarray:
    """Return samples [n] at `up` / `down` times their rate, filtered so that nothing is aliased."""
    from scipy.signal import resample_poly  # takes half a second to import, and only sounds need it

    return np.asarray(resample_poly(samples, up, down))
