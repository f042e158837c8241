"""Collaborative vectors: what the training histories alone say about items (PPMI and a truncated SVD)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from recommender.encoders.reduction import bounded

#: items above which only co-occurrence within the window counts, and the factors are found by random projection: whole
#: histories have as many pairs as the square of their length, and Lanczos needs hundreds of products
EXACT_ITEMS = 50_000
_OVERSAMPLED, _POWERS = 10, 2


def collaborative_vectors(
    histories: Sequence[np.ndarray],
    items: int,
    width: int,
    seed: int = 0,
    window: int = 5,
    decay: float = 2.0,
) -> np.ndarray:
    """Factorise which items occur together, and which before which, to one vector an item.

    `histories` are catalogue indices, oldest first. Co-occurrence in whole histories stands beside ordered
    co-occurrence within `window` steps, both ways (an item d steps back weighs exp((1 - d) / decay)). Each is
    turned to positive pointwise mutual information and all are factorised together as U sqrt(S) (Levy and
    Goldberg, 2014). Returns [items, width] float32 with a mean squared norm of `width` over the rows that are
    not zero, the longest of them cut (`bounded`); items that occur with no other are zero. The same input gives the
    same output. Above `EXACT_ITEMS` items time and memory grow with the interactions: see there.
    """
    if items > EXACT_ITEMS:
        factors = _projected_factors(_ppmi(_window_cooccurrence(histories, items, window, decay)), width, seed)
    else:
        cooccurrence = _ppmi(_cooccurrence(histories, items))
        ordered = _ppmi(_ordered_cooccurrence(histories, items, window, decay))
        factors = _factors(sparse.hstack([cooccurrence, ordered, ordered.T], format="csr"), width, seed)
    squares = (factors**2).sum(axis=1)
    scale = width / squares[squares > 0].mean() if squares.any() else 1.0
    return bounded((factors * np.sqrt(scale)).astype(np.float32))


def _cooccurrence(histories: Sequence[np.ndarray], items: int) -> sparse.csr_array:
    """How many histories hold both items [items, items]."""
    rows = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    columns = np.concatenate([*histories, np.empty(0, dtype=np.int64)]).astype(np.int64)
    profiles = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(histories), items))
    profiles.data[:] = 1.0
    return _without_diagonal(profiles.T @ profiles)


def _ordered_cooccurrence(histories: Sequence[np.ndarray], items: int, window: int, decay: float) -> sparse.csr_array:
    """Weight with which the row's item came up to `window` steps before the column's [items, items]."""
    total = sparse.csr_array((items, items))
    for distance in range(1, window + 1):
        earlier = np.concatenate([h[:-distance] for h in histories] + [np.empty(0, dtype=np.int64)])
        later = np.concatenate([h[distance:] for h in histories] + [np.empty(0, dtype=np.int64)])
        weight = np.full(len(earlier), np.exp((1 - distance) / decay))
        places = (earlier.astype(np.int64), later.astype(np.int64))
        total = total + sparse.csr_array((weight, places), shape=(items, items))
    return _without_diagonal(total)


def _window_cooccurrence(histories: Sequence[np.ndarray], items: int, window: int, decay: float) -> sparse.csr_array:
    """Return `_ordered_cooccurrence`, its entries float32 and all made in one pass over all histories."""
    joined = np.concatenate([*histories, np.empty(0, dtype=np.int64)]).astype(np.int32)
    users = np.repeat(np.arange(len(histories), dtype=np.int32), [len(history) for history in histories])
    total = sparse.csr_array((items, items), dtype=np.float32)
    for distance in range(1, window + 1):
        kept = (users[distance:] == users[:-distance]) & (joined[distance:] != joined[:-distance])
        places = (joined[:-distance][kept], joined[distance:][kept])
        weight = np.full(len(places[0]), np.exp((1 - distance) / decay), np.float32)
        total = total + sparse.csr_array((weight, places), shape=(items, items))
    return total


def _projected_factors(matrix: sparse.csr_array, width: int, seed: int) -> np.ndarray:
    """Return `_factors` of [matrix, transposed matrix] by a randomised SVD.

    Halko, Martinsson and Tropp, "Finding structure with randomness", SIAM Review 2011.
    """
    matrix = matrix.astype(np.float32)
    transposed = matrix.T.tocsr()
    occurring = np.flatnonzero(np.diff(matrix.indptr) + np.diff(transposed.indptr))
    factors = np.zeros((matrix.shape[0], width), np.float32)
    if not len(occurring):
        return factors
    matrix, transposed = matrix[occurring][:, occurring].tocsr(), transposed[occurring][:, occurring].tocsr()

    def squared(vectors: np.ndarray) -> np.ndarray:
        """The matrix whose eigenvectors are the left singular vectors wanted, times vectors."""
        return np.asarray(matrix @ (transposed @ vectors) + transposed @ (matrix @ vectors))

    columns = min(width + _OVERSAMPLED, len(occurring))
    basis = np.random.default_rng(seed).standard_normal((len(occurring), columns), dtype=np.float32)
    for _ in range(_POWERS):
        basis = np.linalg.qr(squared(basis))[0]
    squares, rotation = np.linalg.eigh((basis.T @ squared(basis)).astype(np.float64))
    order = np.argsort(-squares)[:width]
    vectors = basis @ rotation[:, order].astype(np.float32)
    vectors *= np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(order))])
    factors[occurring, : len(order)] = vectors * np.maximum(squares[order], 0).astype(np.float32) ** 0.25
    return factors


def _without_diagonal(matrix: sparse.sparray) -> sparse.csr_array:
    entries = matrix.tocoo()
    keep = entries.row != entries.col
    return sparse.csr_array((entries.data[keep], (entries.row[keep], entries.col[keep])), shape=matrix.shape)


def _ppmi(counts: sparse.csr_array) -> sparse.csr_array:
    """Positive pointwise mutual information of a matrix of counts."""
    entries = counts.tocoo()
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    expected = rows[entries.row] * columns[entries.col] / max(counts.sum(), 1e-12)
    information = np.maximum(np.log(entries.data / expected), 0)
    matrix = sparse.csr_array((information, (entries.row, entries.col)), shape=counts.shape)
    matrix.eliminate_zeros()
    return matrix


def _factors(matrix: sparse.csr_array, width: int, seed: int) -> np.ndarray:
    """The first `width` left singular vectors times the roots of their singular values, zero-padded."""
    rank = min(width, *(size - 1 for size in matrix.shape))
    factors = np.zeros((matrix.shape[0], width))
    if rank < 1 or not matrix.nnz:
        return factors
    start = np.random.default_rng(seed).standard_normal(min(matrix.shape))
    vectors, values, _ = svds(matrix, k=rank, v0=start)
    order = np.argsort(-values)
    vectors, values = vectors[:, order], values[order]
    # The sign of a singular vector is arbitrary: make its largest entry positive.
    vectors *= np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(rank)])
    factors[:, :rank] = vectors * np.sqrt(np.maximum(values, 0))
    factors[np.diff(matrix.indptr) == 0] = 0
    return factors
