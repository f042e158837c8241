"""Random numbers that hang on names alone, so that what was drawn once can be drawn again."""

from __future__ import annotations

import hashlib

import numpy as np

_BITS = 53


def _digest(parts: tuple[str, ...]) -> bytes:
    """Return 32 bytes; lengths stand between, so that ("ab", "c") is not ("a", "bc")."""
    told = b"".join(len(part.encode()).to_bytes(8, "big") + part.encode() for part in parts)
    return hashlib.sha256(told).digest()


def uniform(*parts: str) -> float:
    """Return a number in [0, 1), always the same for the same texts and as good as independent for others."""
    return (int.from_bytes(_digest(parts)[:8], "big") >> (64 - _BITS)) / 2.0**_BITS


def generator(*parts: str) -> np.random.Generator:
    """Return a generator of random numbers that is seeded by texts."""
    return np.random.default_rng(int.from_bytes(_digest(parts)[:16], "big"))
