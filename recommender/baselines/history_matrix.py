"""Histories as rows of a sparse matrix, and operations on such rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp


def history_matrix(histories: Sequence[np.ndarray], items: int, decay: float | None = None) -> sp.csr_array:
    """Return histories as float32 [users, items]: 1 for a seen item, or exp(-n / decay) if a decay is given.

    n is the number of interactions between the item and the end of the history. An item that was seen repeatedly counts
    once, at its latest place.
    """
    # Reversed, so that the first occurrence np.unique reports is the latest one and its index is the age.
    latest = [np.unique(history[::-1], return_index=True) for history in histories]
    lengths = [len(columns) for columns, _ in latest]
    columns = np.concatenate([np.empty(0, np.int64), *(columns for columns, _ in latest)])
    ages = np.concatenate([np.empty(0, np.int64), *(ages for _, ages in latest)])
    weights = np.ones(len(ages)) if decay is None else np.exp(-ages / decay)
    row_starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return sp.csr_array((weights.astype(np.float32), columns, row_starts), shape=(len(histories), items))


def largest_entries(matrix: sp.csr_array, k: int) -> sp.csr_array:
    """Return a copy of a sparse matrix with the k largest entries of each row only; of equal ones the lower column."""
    matrix = matrix.sorted_indices()
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((-matrix.data, rows))  # stable: within a row the largest first, ties by column
    place = np.arange(matrix.nnz) - matrix.indptr[rows]
    entries = np.sort(order[place < k])
    counts = np.minimum(np.diff(matrix.indptr), k)
    row_starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    return sp.csr_array((matrix.data[entries], matrix.indices[entries], row_starts), shape=matrix.shape)


def sparse_unit_rows(matrix: sp.csr_array) -> sp.csr_array:
    """Return the rows at Euclidean length 1; rows of zeros stay zero."""
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1))).ravel()
    return sp.csr_array(sp.diags_array((1 / np.where(lengths > 0, lengths, 1)).astype(np.float32)) @ matrix)
