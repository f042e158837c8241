"""Fitted baselines as arrays and back, for those that are nothing but item-to-item tables: no user is in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp

from recommender.baselines.baseline import Baseline
from recommender.baselines.registry import make_baseline
from recommender.errors import DataError

KEEPABLE = (
    "popularity",
    "item-knn",
    "sequential-item-knn",
    "ease",
    "ease-decay",
    "tfidf-content",
    "vector-content",
    "transition-tfidf",
)
_CSR = ("data", "indices", "indptr", "shape")


def to_arrays(ranker: Baseline) -> dict[str, np.ndarray]:
    """Return what a fitted baseline has learned, by name; a sparse table as the arrays of its rows.

    Raises DataError if it is of a kind that holds more than item-to-item tables.
    """
    names = getattr(ranker, "learned", None)
    if names is None:
        raise DataError(f"{ranker.name} cannot be kept in a checkpoint", f"one of {', '.join(KEEPABLE)} can")
    found: dict[str, np.ndarray] = {}
    for name in names:
        value = getattr(ranker, name)
        if sp.issparse(value):
            found |= {f"{name}.{part}": np.asarray(getattr(value, part)) for part in _CSR}
        else:
            found[name] = np.asarray(value)
    return found


def from_arrays(name: str, arrays: Mapping[str, np.ndarray]) -> Baseline:
    """Return the fitted baseline `name`, which may hold settings. Raises DataError if arrays are missing."""
    if name.partition(":")[0] not in KEEPABLE:
        raise DataError(f"{name!r} is no baseline that can be kept", f"one of {', '.join(KEEPABLE)}")
    ranker = make_baseline(name)
    try:
        for attribute in getattr(ranker, "learned", ()):
            setattr(ranker, attribute, _table(attribute, arrays))
    except KeyError as error:
        raise DataError(f"{name}: the array {error} is missing", "fit it again") from None
    return ranker


def _table(attribute: str, arrays: Mapping[str, np.ndarray]) -> Any:
    if f"{attribute}.indptr" not in arrays:
        return arrays[attribute]
    data, indices, indptr, shape = (arrays[f"{attribute}.{part}"] for part in _CSR)
    return sp.csr_array((data, indices, indptr), shape=tuple(shape.tolist()))
