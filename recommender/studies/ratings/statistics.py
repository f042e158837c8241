"""Features of a rating to predict, computed from known ratings and never from the rating itself.

Everything here is a function of known ratings and rows to describe. Training rows are cross-fitted: their known ratings
are those of the other parts of the fold, so that a training row is described like a test row (Micci-Barreca, "A
preprocessing scheme for high-cardinality categorical attributes", 2001, and the cross-fitting of scikit-learn's
TargetEncoder).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

_SHRINK = 5.0  # ratings of an average user or item that are added to the real ones
_RANK = 8
_DAMPING = 3.0  # added to a user's number of ratings, so that one rating makes no strong profile


@dataclass(frozen=True)
class KnownRatings:
    """Known ratings as parallel arrays. values: in the unit of the scale; user_count, item_count: of the whole table."""

    users: np.ndarray
    items: np.ndarray
    values: np.ndarray
    liked: np.ndarray
    user_count: int
    item_count: int

    def take(self, rows: np.ndarray) -> KnownRatings:
        """Return some rows only."""
        return KnownRatings(
            self.users[rows],
            self.items[rows],
            self.values[rows],
            self.liked[rows],
            self.user_count,
            self.item_count,
        )


@dataclass(frozen=True)
class Biases:
    """Global mean, item biases, and user biases on top of both (Koren, "Factorization meets the neighborhood", 2008,
    section 2.1, as averages that are shrunk towards zero)."""

    mean: float
    items: np.ndarray
    users: np.ndarray

    @classmethod
    def fit(cls, known: KnownRatings, shrink: float = _SHRINK) -> Biases:
        """Fit item biases first, then user biases on the residuals."""
        mean = float(known.values.mean())
        items = _shrunk(known.items, known.values - mean, known.item_count, shrink)
        users = _shrunk(known.users, known.values - mean - items[known.items], known.user_count, shrink)
        return cls(mean, items, users)

    def predict(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return the expected ratings of pairs [n]."""
        return self.mean + self.items[items] + self.users[users]


def describe(
    known: KnownRatings, users: np.ndarray, items: np.ndarray, content: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return a block of features for each modality of the pairs (users, items): name -> [n, block width] float32.

    content: vectors [items, width] of each modality. Its block holds the item's vector; the elementwise product of the
    vector and the user's profile, which is the mean vector of the items they rated, weighted by the residual rating;
    and the sum of that product. The block "statistics" holds means, shares of likes, spreads and counts of user and
    item.
    """
    biases = Biases.fit(known)
    residuals = known.values - biases.predict(known.users, known.items)
    blocks = {"statistics": _statistics(known, biases, users, items)}
    for name, vectors in content.items():
        matched = vectors[items] * _profiles(known, residuals, vectors)[users]
        parts = [vectors[items], matched, matched.sum(axis=1, keepdims=True)]
        if name == "collaborative":
            parts.append(_factorised(known, residuals, users, items)[:, None])
        blocks[name] = np.hstack(parts).astype(np.float32)
    return blocks


def _shrunk(codes: np.ndarray, values: np.ndarray, size: int, shrink: float) -> np.ndarray:
    """Return the sum of the values of each code over their number plus `shrink`."""
    return np.bincount(codes, values, size) / (np.bincount(codes, minlength=size) + shrink)


def _statistics(known: KnownRatings, biases: Biases, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    columns = [biases.predict(users, items)]
    share = known.liked.mean()
    spread = known.values.std()
    residuals = known.values - biases.predict(known.users, known.items)
    sides = ((known.users, users, biases.users, known.user_count), (known.items, items, biases.items, known.item_count))
    for codes, rows, bias, size in sides:
        likes = _shrunk(codes, known.liked - share, size, _SHRINK)
        deviation = np.sqrt(np.maximum(_shrunk(codes, residuals**2 - spread**2, size, _SHRINK) + spread**2, 0))
        count = np.log1p(np.bincount(codes, minlength=size))
        columns += [column[rows] for column in (bias, likes, deviation, count)]
    return np.stack(columns, axis=1).astype(np.float32)


def _profiles(known: KnownRatings, residuals: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return each user's mean vector of rated items, weighted by the residual rating: [users, width]."""
    shape = (known.user_count, known.item_count)
    weights = sparse.csr_array((residuals, (known.users, known.items)), shape=shape)
    counts = np.bincount(known.users, minlength=known.user_count)
    return (weights @ vectors) / (counts + _DAMPING)[:, None]


def _factorised(known: KnownRatings, residuals: np.ndarray, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return the residual rating of each pair by a truncated SVD of the residuals (Sarwar et al., 2000).

    Users and items with few ratings are damped. Only the product of the factors is used: the factors of different parts
    of a fold are rotated against each other.
    """
    shape = (known.user_count, known.item_count)
    most = min(_RANK, *(size - 1 for size in shape))
    if most < 1 or not np.any(residuals):
        return np.zeros(len(users))
    by_user = 1 / np.sqrt(np.bincount(known.users, minlength=shape[0]) + _DAMPING)
    by_item = 1 / np.sqrt(np.bincount(known.items, minlength=shape[1]) + _DAMPING)
    matrix = sparse.csr_array((residuals, (known.users, known.items)), shape=shape)
    scaled = sparse.csr_array(sparse.diags_array(by_user) @ matrix @ sparse.diags_array(by_item))
    start = np.random.default_rng(0).standard_normal(min(shape))
    left, values, right = svds(scaled, k=most, v0=start)
    return ((left * values)[users] * right.T[items]).sum(axis=1) / (by_user[users] * by_item[items])
