"""Metrics beyond accuracy: diversity of a list, and calibration of a list to the user's history.

Lists are item indices [users, K], best first, padded with -1. Every metric is one float64 a user, NaN where it is not
defined: for a list with fewer than two comparable items, or a user without any item that has the attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from recommender.baselines.topk import PADDING

SMOOTHING = 0.01  # Steck's alpha
_USERS_AT_ONCE = 512
_PAIRS_AT_ONCE = 20_000

Similarity = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Two arrays of item indices [n] -> the similarity of each pair [n], NaN where an item cannot be compared."""


@dataclass(frozen=True)
class Attributes:
    """One attribute of every item: `table` float64 [items, values], 1 where the item has the value."""

    name: str
    table: sp.csr_array


@dataclass(frozen=True)
class ItemFacts:
    """Facts of the items that metrics and slices use; each may be absent.

    vectors: content vectors [items, width], rows of zeros where an item has none.
    lacking: modality -> bool [items], true where an item does not have it.
    learned: how many interactions of each item the models learned from, [items]; default: all that the hold-out lets them.
    """

    attributes: Attributes | None = None
    vectors: np.ndarray | None = None
    lacking: Mapping[str, np.ndarray] = field(default_factory=dict)
    learned: np.ndarray | None = None


def beyond_accuracy_per_user(
    ranked: np.ndarray, histories: Sequence[np.ndarray], facts: ItemFacts, ks: Sequence[int]
) -> dict[tuple[str, int], np.ndarray]:
    """Return (metric, k) -> one value a user for every metric that the facts allow; diversity needs a k of 2 or more."""
    values: dict[tuple[str, int], np.ndarray] = {}
    pair_ks = [k for k in ks if k > 1]
    if facts.attributes is not None:
        table = facts.attributes.table
        values |= _named("diversity", intra_list_distance(ranked, pair_ks, jaccard(table)))
        for name, divergence in (("calibration_kl", kl_divergence), ("calibration_js", js_divergence)):
            values |= _named(name, {k: calibration(ranked, histories, table, k, divergence) for k in ks})
    if facts.vectors is not None:
        values |= _named("content_diversity", intra_list_distance(ranked, pair_ks, cosine(facts.vectors)))
    return values


def intra_list_distance(ranked: np.ndarray, ks: Sequence[int], similarity: Similarity) -> dict[int, np.ndarray]:
    """Return the mean of 1 - similarity over all pairs of the first k items of each list, for every k.

    Ziegler et al., "Improving recommendation lists through topic diversification", WWW 2005, whose intra-list
    similarity is the same sum without normalisation.
    """
    ranked = ranked[:, : max(ks, default=0)]
    users, longest = ranked.shape
    later, earlier = np.tril_indices(longest, -1)  # all pairs, those of the first k items before the others
    means = {k: np.empty(users) for k in ks}
    at_once = max(1, _PAIRS_AT_ONCE // max(1, len(later)))
    for start in range(0, users, at_once):
        lists = ranked[start : start + at_once]
        first, second = lists[:, earlier], lists[:, later]
        there = (first != PADDING) & (second != PADDING)
        distance = np.full(there.shape, np.nan)
        distance[there] = np.maximum(1 - similarity(first[there], second[there]), 0)  # rounding
        defined = ~np.isnan(distance)
        total = _running_sums(np.where(defined, distance, 0.0))
        pairs = _running_sums(defined)
        for k, column in means.items():
            compared = min(k, longest) * (min(k, longest) - 1) // 2
            counts = pairs[:, compared]
            column[start : start + at_once] = total[:, compared] / np.where(counts > 0, counts, np.nan)
    return means


def _running_sums(table: np.ndarray) -> np.ndarray:
    """Return the sums of the first n columns of each row in column n, float64 [rows, columns + 1]."""
    sums = np.zeros((table.shape[0], table.shape[1] + 1))
    np.cumsum(table, axis=1, out=sums[:, 1:])
    return sums


def jaccard(table: sp.csr_array) -> Similarity:
    """Return the Jaccard similarity of two items' sets of values, table [items, values]."""
    sizes = np.asarray(table.sum(axis=1))

    def similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        shared = np.asarray(table[first].multiply(table[second]).sum(axis=1))
        compared = (sizes[first] > 0) & (sizes[second] > 0)
        return shared / np.where(compared, sizes[first] + sizes[second] - shared, np.nan)

    return similarity


def cosine(vectors: np.ndarray) -> Similarity:
    """Return the cosine of two items' vectors [items, width]."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = vectors / np.where(lengths > 0, lengths, np.nan)
    return lambda first, second: np.einsum("nw,nw->n", directions[first], directions[second]).astype(np.float64)


def calibration(
    ranked: np.ndarray,
    histories: Sequence[np.ndarray],
    table: sp.csr_array,
    k: int,
    divergence: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Return the divergence, in bits, of the attribute values of the first k items from those of the history.

    Steck, "Calibrated recommendations", RecSys 2018: every item shares out a weight of one among its values, and the
    shares are averaged over the history (p) and over the list (q). 0 is perfectly calibrated.
    """
    shares = _normalised(table)
    lists = [row[row != PADDING] for row in ranked[:, :k]]
    parts = [
        divergence(_distribution(histories[start:stop], shares), _distribution(lists[start:stop], shares))
        for start in range(0, len(ranked), _USERS_AT_ONCE)
        for stop in [start + _USERS_AT_ONCE]
    ]
    return np.concatenate([np.empty(0), *parts])


def kl_divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return KL(p || q') of rows [users, values] in bits; q' is q mixed with .01 of p, as in Steck (2018)."""
    smoothed = (1 - SMOOTHING) * q + SMOOTHING * p
    return _relative_entropy(p, smoothed)


def js_divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the Jensen-Shannon divergence of rows [users, values] in bits: 0 for equal rows, 1 for nothing in common."""
    middle = (p + q) / 2
    return (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the sum of p log2(p / q); rows that are NaN stay NaN."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=~(p <= 0))
    # rounding may leave the divergence of equal rows slightly below zero
    return np.maximum((p * np.log2(ratio)).sum(axis=1), 0.0)


def _distribution(items: Sequence[np.ndarray], shares: sp.csr_array) -> np.ndarray:
    """Return the mean share of every value over each row of items, float64 [rows, values]; NaN without any value."""
    columns = np.concatenate([np.empty(0, np.int64), *items]).astype(np.int64)
    starts = np.cumsum([0, *map(len, items)])
    rows = sp.csr_array((np.ones(len(columns)), columns, starts), shape=(len(items), shares.shape[0]))
    sums = (rows @ shares).toarray()
    total = sums.sum(axis=1, keepdims=True)
    return sums / np.where(total > 0, total, np.nan)


def _normalised(table: sp.csr_array) -> sp.csr_array:
    sizes = np.maximum(np.asarray(table.sum(axis=1)), 1)
    return sp.csr_array(sp.diags_array(1 / sizes) @ table)


def _named(name: str, values: Mapping[int, np.ndarray]) -> dict[tuple[str, int], np.ndarray]:
    return {(name, k): column for k, column in values.items()}
