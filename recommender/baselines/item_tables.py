"""Fitted baselines as arrays and back. Only baselines that hold nothing but item tables: no user is in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from recommender.baselines.baseline import Baseline
from recommender.baselines.registry import is_baseline, make_baseline
from recommender.errors import DataError, did_you_mean

STORABLE = (
    "popularity",
    "item-knn",
    "sequential-item-knn",
    "ease",
    "ease-decay",
    "tfidf-content",
    "vector-content",
    "transition-tfidf",
)
_CSR_PARTS = ("data", "indices", "indptr", "shape")


def check_storable(names: Sequence[str]) -> None:
    """Raise DataError unless these are one or more baselines that a checkpoint can keep."""
    for name in names:
        if is_baseline(name) and name.partition(":")[0] not in STORABLE:
            raise DataError(f"{name!r} cannot be kept in a checkpoint", did_you_mean(name, STORABLE))
        make_baseline(name)  # says what is wrong with its name or its settings
    if not names:
        raise DataError("no baseline is given to fuse with", f"one or more of {', '.join(STORABLE)}")


def to_arrays(baseline: Baseline) -> dict[str, np.ndarray]:
    """Return the learned attributes of a fitted baseline by name; a sparse table as the arrays of its CSR form.

    Raises DataError for a baseline that holds more than item tables.
    """
    names = getattr(baseline, "learned", None)
    if names is None:
        raise DataError(f"{baseline.name} cannot be kept in a checkpoint", f"one of {', '.join(STORABLE)} can")
    arrays: dict[str, np.ndarray] = {}
    for name in names:
        value = getattr(baseline, name)
        if sp.issparse(value):
            arrays |= {f"{name}.{part}": np.asarray(getattr(value, part)) for part in _CSR_PARTS}
        else:
            arrays[name] = np.asarray(value)
    return arrays


def from_arrays(name: str, arrays: Mapping[str, np.ndarray]) -> Baseline:
    """Return the fitted baseline NAME or NAME:KEY=VALUE from its arrays. Raises DataError if arrays are missing."""
    if name.partition(":")[0] not in STORABLE:
        raise DataError(f"{name!r} is no baseline that can be kept", f"one of {', '.join(STORABLE)}")
    baseline = make_baseline(name)
    try:
        for attribute in getattr(baseline, "learned", ()):
            setattr(baseline, attribute, _table(attribute, arrays))
    except KeyError as error:
        raise DataError(f"{name}: the array {error} is missing", "fit it again") from None
    return baseline


def _table(attribute: str, arrays: Mapping[str, np.ndarray]) -> Any:
    if f"{attribute}.indptr" not in arrays:
        return arrays[attribute]
    data, indices, indptr, shape = (arrays[f"{attribute}.{part}"] for part in _CSR_PARTS)
    rows, columns = (int(size) for size in shape)
    if columns > max(rows, len(data)):  # columns are items, or words that some item has
        raise DataError(f"the array {attribute} claims {columns} columns for {len(data)} numbers", "fit it again")
    return sp.csr_array((data, indices, indptr), shape=tuple(shape.tolist()))
