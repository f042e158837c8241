"""What every baseline is given and offers, and histories as sparse rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from recommender.encoders.features import Features
from recommender.errors import DataError, import_extra
from recommender.progress import Progress


class ItemContent:
    """What is known of the items besides who liked them. Encoding them takes minutes, so it waits until asked for."""

    def __init__(self, texts: Sequence[str], encode: Callable[[], Features]) -> None:
        """Take one document an item, and what returns the vectors of their texts, images and sounds."""
        self.texts = texts
        self._encode = encode

    @cached_property
    def features(self) -> Features:
        """Text, image and audio vectors of the items; no collaborative ones, which depend on the histories."""
        return self._encode()


@dataclass(frozen=True)
class FitData:
    """What a baseline learns from.

    histories: catalogue indices, oldest first. The evaluation's targets are not among them; a baseline that needs a
        validation target takes the last item of each.
    content: None where a caller has none; `need_content` says so in one clear error.
    """

    histories: Sequence[np.ndarray]
    items: int
    content: ItemContent | None = None
    seed: int = 0
    progress: Progress | None = None

    def need_content(self, name: str) -> ItemContent:
        """Return the content. Raises DataError naming the baseline that needs it."""
        if self.content is None:
            raise DataError(f"{name} needs the items' content, and there is none", "evaluate it on a catalogue")
        return self.content

    def need_text(self, name: str) -> np.ndarray:
        """Return the items' text vectors, float32 [items, width]. Raises DataError naming the baseline that needs them."""
        vectors = self.need_content(name).features.vectors
        if "text" not in vectors:
            reason = f"{name} needs the items' text vectors, and there are none"
            raise DataError(reason, "name an encoder under encoders.text; the items need titles or texts")
        return vectors["text"]


class Baseline(Protocol):
    """What every baseline offers."""

    name: str

    def fit(self, data: FitData) -> None:
        """Learn from the histories, and the content if it is of that kind."""

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return float32 [users, items], higher is better; seen items are scored as well."""


def profiles(histories: Sequence[np.ndarray], items: int, decay: float | None = None) -> sp.csr_array:
    """Return histories as rows [users, items], float32: 1 for what was seen, whatever the order.

    With a decay, an item seen n interactions before the last one weighs exp(-n / decay). An item that
    was seen repeatedly counts once, at its latest place.
    """
    # Reversed, so that the first occurrence np.unique reports is the latest one and its index is the age.
    latest = [np.unique(history[::-1], return_index=True) for history in histories]
    lengths = [len(columns) for columns, _ in latest]
    columns = np.concatenate([np.empty(0, np.int64), *(columns for columns, _ in latest)])
    ages = np.concatenate([np.empty(0, np.int64), *(ages for _, ages in latest)])
    weights = np.ones(len(ages)) if decay is None else np.exp(-ages / decay)
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return sp.csr_array((weights.astype(np.float32), columns, starts), shape=(len(histories), items))


def library(module: str, name: str) -> Any:
    """Import a module of the extra `eval` for the baseline `name`. Raises RecommenderError if it is not installed."""
    return import_extra(module, name, "eval")


def strongest(matrix: sp.csr_array, k: int) -> sp.csr_array:
    """Return a copy of a sparse matrix that keeps the k largest entries of each row; ties fall to the lower column."""
    matrix = matrix.sorted_indices()
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((-matrix.data, rows))  # stable: within a row the largest first, ties by column
    place = np.arange(matrix.nnz) - matrix.indptr[rows]
    kept = np.sort(order[place < k])
    counts = np.minimum(np.diff(matrix.indptr), k)
    starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    return sp.csr_array((matrix.data[kept], matrix.indices[kept], starts), shape=matrix.shape)


def sparse_unit_rows(matrix: sp.csr_array) -> sp.csr_array:
    """Return the rows at Euclidean length 1; rows of zeros stay zero."""
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1))).ravel()
    return sp.csr_array(sp.diags_array((1 / np.where(lengths > 0, lengths, 1)).astype(np.float32)) @ matrix)
