"""Vectors that a request brings for items of its history: a picture in the place of the one that the catalogue knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recommender.config import SOFT_MODALITIES, Modality
from recommender.data.catalogue import Catalogue
from recommender.encoders.features import Features
from recommender.encoders.reduction import bounded
from recommender.engine.requests import Request
from recommender.errors import RecommenderError
from recommender.prompting.example import VectorOverrides

#: the largest number of a vector, far beyond any encoder's: a model computes infinities from much larger ones
LARGEST = 1e6


def vector_overrides(request: Request, catalogue: Catalogue, features: Features) -> VectorOverrides:
    """Return a request's vectors by item index, as wide as the model's own.

    An encoder's raw vector is reduced as the catalogue's were. Raises RecommenderError for an item that is not in the
    history, a modality that the model does not read, a vector of another width, and numbers beyond `LARGEST`.
    """
    found: dict[int, dict[Modality, np.ndarray]] = {}
    for item_id, own in request.vectors.items():
        if item_id not in request.history:
            raise RecommenderError(f"vectors: item {item_id!r} is not in the history", "give vectors of history items")
        found[catalogue.index(item_id)] = {m: _fitting(m, _checked(m, v), features) for m, v in own.items()}
    return found


def _checked(modality: Modality, values: Sequence[float]) -> np.ndarray:
    """Return a vector as float32. Raises RecommenderError for what that cannot hold, or no encoder gives."""
    vector = np.array(values, np.float64)
    if not (np.abs(vector) <= LARGEST).all():  # so NaN is not
        largest = np.abs(vector).max()
        raise RecommenderError(
            f"vectors: {modality} holds {largest:.3g}; expected numbers within {LARGEST:,.0f}",
            "give an encoder's vector",
        )
    return vector.astype(np.float32)


def _fitting(modality: Modality, vector: np.ndarray, features: Features) -> np.ndarray:
    soft = [m for m in SOFT_MODALITIES if m in features.vectors]
    if modality not in soft:
        raise RecommenderError(f"vectors: the model has no soft tokens of {modality}", f"it has {', '.join(soft)}")
    width, reduction = features.vectors[modality].shape[1], features.reductions.get(modality)
    if len(vector) == width:
        return vector
    if reduction is not None and len(vector) == reduction.raw_width:
        return bounded(reduction.apply(vector[None]))[0]
    raw = f", or the encoder's own {reduction.raw_width}" if reduction is not None else ""
    raise RecommenderError(f"vectors: {modality} has {len(vector)} numbers; expected {width}{raw}")
