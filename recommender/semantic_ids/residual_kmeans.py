"""Residual k-means: each level clusters what the centroids of the levels before it leave of the vectors.

The quantisation of TIGER's semantic ids (Rajput et al., NeurIPS 2023), with k-means in place of its RQ-VAE.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from recommender.errors import DataError

# Above this many items k-means sees mini-batches: exact k-means would take minutes for no better codes.
_EXACT_KMEANS_ITEMS = 50_000


def fit_levels(vectors: np.ndarray, levels: int, codebook_size: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the centroids of each level, [codes, width] float32, and the codes int64 [items, levels] of `vectors`.

    A level has fewer than `codebook_size` codes where fewer distinct vectors are left.
    """
    centroids: list[np.ndarray] = []
    codes: list[np.ndarray] = []
    residual = vectors
    for level in range(levels):
        centroids.append(_fit_centroids(residual, codebook_size, seed + level))
        codes.append(_nearest(residual, centroids[-1]))
        residual = residual - centroids[-1][codes[-1]]
    return centroids, np.stack(codes, axis=1)


def assign_codes(vectors: np.ndarray, centroids: Sequence[np.ndarray]) -> np.ndarray:
    """Return the codes int64 [items, levels] of further vectors [items, width] by the centroids of each level."""
    codes = []
    for level_centroids in centroids:
        codes.append(_nearest(vectors, level_centroids))
        vectors = vectors - level_centroids[codes[-1]]
    return np.stack(codes, axis=1)


def collision_digits(codes: np.ndarray, next_free: MutableMapping[tuple[int, ...], int]) -> np.ndarray:
    """Return a number for each row of `codes` [items, levels] that tells it from rows of the same codes, in row order.

    `next_free`: the next free number of codes that are in use; it is updated.
    """
    digits = np.empty(len(codes), dtype=np.int64)
    for row, prefix in enumerate(map(tuple, codes.tolist())):
        digits[row] = next_free.get(prefix, 0)
        next_free[prefix] = next_free.get(prefix, 0) + 1
    return digits


def finite_vectors(vectors: np.ndarray) -> np.ndarray:
    """Return vectors [items, width] as float32. Raises DataError naming the first item whose vector is not finite."""
    vectors = np.asarray(vectors, dtype=np.float32)
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors.reshape(len(vectors), -1)).all(axis=1))[0])
        raise DataError(f"item {row}: its vector holds a value that is not finite", "encode the item again")
    return vectors


def _fit_centroids(vectors: np.ndarray, codebook_size: int, seed: int) -> np.ndarray:
    """K-means centroids [codes, width], no more than there are distinct vectors."""
    from sklearn.cluster import KMeans, MiniBatchKMeans  # most of a second, and only training needs it

    distinct = len(np.unique(vectors.round(6), axis=0))
    method = KMeans if len(vectors) <= _EXACT_KMEANS_ITEMS else MiniBatchKMeans
    model = method(min(codebook_size, distinct), n_init=1, random_state=seed)
    # Threads add in an order of their own, which would make the codes depend on the machine.
    with threadpool_limits(1):
        return model.fit(vectors.round(6)).cluster_centers_.astype(np.float32)


def _nearest(vectors: np.ndarray, centroids: np.ndarray, chunk: int = 65_536) -> np.ndarray:
    """Index of the nearest centroid of each vector."""
    half_squares = (centroids**2).sum(axis=1) / 2
    parts = [vectors[i : i + chunk] for i in range(0, len(vectors), chunk)]
    nearest = [(half_squares - part @ centroids.T).argmin(axis=1) for part in parts]
    return np.concatenate([*nearest, np.empty(0, dtype=np.int64)]).astype(np.int64)
