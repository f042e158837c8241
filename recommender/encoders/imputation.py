"""Vectors for what items lack: those of the nearest items that have it, of items without a picture, a sound or a text.

Nearest-neighbour imputation (Troyanskaya et al., "Missing value estimation methods for DNA microarrays", Bioinformatics
2001), for recommenders with missing media as in Malitesta et al., "Do we really need to drop items with missing modalities
in multimodal recommendation?", CIKM 2024. Near is decided by the modalities that both items have, company among them. An
imputed vector is read like an own one, and never counts as one: `Features.present` stays false.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recommender.config import CONTENT_MODALITIES, EncodersConfig, Modality
from recommender.encoders.features import Features
from recommender.numerics.sampling import evenly
from recommender.numerics.vectors import unit_rows

#: of a larger catalogue an even sample of so many items is compared with
MOST_COMPARED = 65_536
#: items whose distances are in memory together
_PART = 256
#: a distance below this is rounding: twins alone decide
_LEAST_DISTANCE = 1e-6


@dataclass(frozen=True)
class Nearest:
    """The nearest items of some items, nearest first: int64 [n, count], -1 where there are no more, and how far they are,
    float32 [n, count]: one less the mean cosine over the modalities that both have, infinite where there is none."""

    items: np.ndarray
    distances: np.ndarray


def impute(features: Features, config: EncodersConfig, first: int = 0) -> Features:
    """Return features in which items, from index `first` on, have vectors of what they lack, marked as imputed.

    Nothing changes without `config.impute`. An item that has nothing at all, or nothing in common with any item that has
    what it lacks, stays without.
    """
    if config.impute is None:
        return features
    filled, wanted = features, [m for m in features.vectors if config.impute == "all" or m in CONTENT_MODALITIES]
    for m in wanted:
        use = [other for other in features.vectors if other != m]
        lacking = first + np.flatnonzero(~features.usable(m)[first:])
        having = np.flatnonzero(features.present[m])
        if len(lacking) and len(having) and use:
            near = nearest(features, lacking, having, use, config.impute_neighbours)
            rows, vectors = _means(features, m, lacking, near)
            filled = filled.with_imputed(m, rows, vectors)
    return filled


def nearest(
    features: Features, items: np.ndarray, candidates: np.ndarray, use: Sequence[Modality], count: int
) -> Nearest:
    """Return for each of `items` [n] the `count` nearest of `candidates` [m], itself left out, by the modalities `use`."""
    candidates = candidates[evenly(len(candidates), MOST_COMPARED)]
    units = {m: _own_units(features, m, candidates) for m in use}
    most = min(count, len(candidates))
    found = np.full((len(items), most), -1, np.int64)
    distances = np.full((len(items), most), np.inf, np.float32)
    for start in range(0, len(items), _PART):
        part = items[start : start + _PART]
        apart = _distances(features, part, candidates, units)
        best = np.argpartition(apart, most - 1, axis=1)[:, :most] if most else np.empty((len(part), 0), np.int64)
        best.sort(axis=1)  # of items that are as near the first
        best = np.take_along_axis(best, np.argsort(np.take_along_axis(apart, best, 1), 1, kind="stable"), 1)
        distances[start : start + _PART] = np.take_along_axis(apart, best, 1)
        found[start : start + _PART] = candidates[best]
    found[np.isinf(distances)] = -1
    return Nearest(found, distances)


def _distances(
    features: Features, items: np.ndarray, candidates: np.ndarray, units: dict[Modality, np.ndarray]
) -> np.ndarray:
    """Return float32 [items, candidates]; infinite for an item and itself, and for what has nothing in common."""
    cosines = np.zeros((len(items), len(candidates)), np.float32)
    shared = np.zeros_like(cosines)
    for m, theirs in units.items():
        cosines += _own_units(features, m, items) @ theirs.T
        shared += np.outer(features.present[m][items], features.present[m][candidates])
    comparable = (shared > 0) & (items[:, None] != candidates[None, :])
    return np.where(comparable, np.maximum(1 - cosines / np.maximum(shared, 1), 0), np.inf).astype(np.float32)


def _own_units(features: Features, modality: Modality, items: np.ndarray) -> np.ndarray:
    """Return unit vectors [n, width] of items; zeros for one without an own vector."""
    return unit_rows(features.rows(modality, items)) * features.present[modality][items][:, None]


def _means(features: Features, modality: Modality, items: np.ndarray, near: Nearest) -> tuple[np.ndarray, np.ndarray]:
    """Return the items that have neighbours, [n], and the means of these, [n, width], each as long as they are.

    A mean is shorter than what it is made of, and what lies close to the mean of all items looks like none of them.
    """
    weights = np.where(near.items >= 0, 1 / np.maximum(near.distances, _LEAST_DISTANCE), 0).astype(np.float32)
    any_near = weights.sum(1) > 0
    weights = weights[any_near] / weights[any_near].sum(1, keepdims=True)
    rows = features.rows(modality, np.maximum(near.items[any_near], 0).ravel())
    vectors = rows.reshape(*weights.shape, rows.shape[1])
    lengths = (weights * np.linalg.norm(vectors, axis=2)).sum(1, keepdims=True)
    means = unit_rows(np.einsum("nk,nkw->nw", weights, vectors)) * lengths
    return items[any_near], means.astype(np.float32)
