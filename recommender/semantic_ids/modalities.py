"""Joining the modalities of an item: its text, image, audio and other vectors -> one vector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

import numpy as np

from recommender.config import Modality
from recommender.errors import ConfigError, did_you_mean
from recommender.numerics.vectors import unit_rows

Joining = Literal["concatenation", "average", "weighted"]


class FeaturesLike(Protocol):
    """Vectors [items, width] of each modality (absent rows are zero), and which rows are present [items]."""

    @property
    def vectors(self) -> Mapping[Modality, np.ndarray]:
        """Vectors [items, width] of each modality."""

    @property
    def present(self) -> Mapping[Modality, np.ndarray]:
        """Which rows are present, bool [items] of each modality."""


def join_modalities(
    features: FeaturesLike,
    joining: Joining = "concatenation",
    weights: Mapping[Modality, float] | None = None,
) -> np.ndarray:
    """Join the modalities of each item to one vector [items, width] float32; absent ones count as zeros.

    Every row of a modality is first scaled to length 1, which depends on no other item. "concatenation" puts
    them side by side, "weighted" does so after multiplying with `weights` (1 where unnamed), "average" takes
    the mean of those present, the narrower padded with zeros to the widest. Raises ConfigError for weights
    that cannot be used.
    """
    if not features.vectors:
        raise ConfigError(
            "semantic_ids: no vectors to make codes from",
            "switch on an encoder, or set semantic_ids.levels: 1",
        )
    scale = dict.fromkeys(features.vectors, 1.0)
    if joining == "weighted":
        scale |= _checked_weights(features.vectors, weights or {})
    parts = [scale[name] * _present_unit_rows(rows, features.present[name]) for name, rows in features.vectors.items()]
    if joining != "average":
        return np.concatenate(parts, axis=1).astype(np.float32)
    widest = max(part.shape[1] for part in parts)
    total = sum(np.pad(part, ((0, 0), (0, widest - part.shape[1]))) for part in parts)
    count = np.sum([features.present[name] for name in features.vectors], axis=0)
    return (total / np.maximum(count, 1)[:, None]).astype(np.float32)


def _checked_weights(modalities: Iterable[Modality], weights: Mapping[Modality, float]) -> Mapping[Modality, float]:
    known = list(modalities)
    for name, weight in weights.items():
        if name not in known:
            hint = did_you_mean(name, known) or f"switch its encoder on; there are {', '.join(known)}"
            raise ConfigError(f"semantic_ids.weights: there are no {name} vectors", hint)
        if not weight >= 0:
            raise ConfigError(f"semantic_ids.weights: {name} is {weight}, expected 0 or more")
    return weights


def _present_unit_rows(rows: np.ndarray, present: np.ndarray) -> np.ndarray:
    return np.where(present[:, None], unit_rows(rows), 0)
