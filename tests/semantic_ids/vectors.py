"""Random vectors and features that the tests of semantic ids share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Features:
    vectors: dict
    present: dict


def random_vectors(items, width=6, seed=0):
    return np.random.default_rng(seed).standard_normal((items, width)).astype(np.float32)


def features(items=5, seed=0):
    vectors = {"text": random_vectors(items, 4, seed), "audio": random_vectors(items, 2, seed + 1)}
    present = {"text": np.ones(items, dtype=bool), "audio": np.arange(items) % 2 == 0}
    vectors["audio"][~present["audio"]] = 0
    return Features(vectors, present)
