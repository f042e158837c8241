"""What followed what, told with the privacy of each user: one noisy table of transitions, and what can be read from it.

Noise on gradients is paid in every step. A table of all pairs of items is released once, and whatever is computed from it
afterwards costs nothing more (Dwork and Roth, "The algorithmic foundations of differential privacy", 2014, proposition 2.1).
For private counts of items that people had together see McSherry and Mironov, "Differentially private recommender systems",
KDD 2009.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.extmath import randomized_svd

from recommender.progress import Progress

#: a step over `gap` interactions counts DECAY ** (gap - 1), up to WINDOW of them
WINDOW, DECAY = 20, 0.9
#: the share at which a step also counts backwards: what follows often precedes, too, and two places share their noise
_BACKWARDS = 0.4
#: directions of the items' attributes, and of the table itself, in which it is expected to lie
_CONTENT, _OWN = 40, 8
#: how far a number may lie from what is expected of it, as a multiple of that
_SPREAD = 3.0
_COMMON = 0.005  # share of the items that have an attribute value which says something of others


def transition_sums(
    histories: Iterable[np.ndarray], items: int, progress: Progress | None = None, users: int = 0
) -> np.ndarray:
    """Return float32 [items, items]: from row to column, the users' shares in each transition.

    A user's weighted transitions are divided by their Euclidean norm, so nobody, however much they had, moves the table by
    more than 1, which is what the noise is measured by. `users`: for the progress, how many histories come.
    """
    sums = np.zeros((items, items), dtype=np.float32)
    for number, history in enumerate(histories):
        steps = _steps_of(np.asarray(history), items)
        if steps.nnz:
            sums[steps.row, steps.col] += steps.data / np.linalg.norm(steps.data)
        if progress and number % 1000 == 999:
            progress("counting transitions", number + 1, users)
    return sums


def _steps_of(history: np.ndarray, items: int) -> sp.coo_array:
    """Return the weighted transitions of one history, each pair of items once."""
    gaps = range(1, min(WINDOW, len(history) - 1) + 1)
    if not gaps:
        return sp.coo_array((items, items))
    before = np.concatenate([history[:-gap] for gap in gaps])
    after = np.concatenate([history[gap:] for gap in gaps])
    weights = np.concatenate([np.full(len(history) - gap, DECAY ** (gap - 1)) for gap in gaps])
    steps = sp.coo_array((weights, (before, after)), shape=(items, items))
    steps.sum_duplicates()
    return steps


def with_noise(sums: np.ndarray, noise: float, random: np.random.Generator) -> np.ndarray:
    """Return the table [items, items] as it may be told: each number with Gaussian noise of the deviation `noise`."""
    return np.asarray(sums + random.normal(0.0, noise, sums.shape), dtype=np.float32)


def attribute_directions(attributes: Sequence[Iterable[str]]) -> np.ndarray:
    """Return float32 [items, directions]: a constant, and the directions in which the items' attributes differ most.

    `attributes`: the values of each item, of which those count that one item in two hundred has.
    """
    count = len(attributes)
    constant = np.ones((count, 1), dtype=np.float32)
    analyze = partial(map, str.casefold)
    vectorizer = TfidfVectorizer(analyzer=analyze, min_df=max(int(_COMMON * count), 2), dtype=np.float32)
    try:
        vectors = vectorizer.fit_transform(attributes)
    except ValueError:  # no value is that common
        return constant
    directions = min(_CONTENT, min(vectors.shape) - 1)
    if directions < 1:
        return constant
    left, values, _ = randomized_svd(vectors, directions, random_state=0)
    left = left[:, values > 1e-3 * values[0]]  # the others are of rounding alone
    return np.hstack([constant, left.astype(np.float32) * np.sqrt(count)])


def cleaned(noisy: np.ndarray, noise: float, directions: np.ndarray) -> np.ndarray:
    """Return what a noisy table most likely says of each transition, float32 [items, items], at least 0.

    First the whole of it: its part within few directions, those of the items' attributes (`directions` [items, n], scaled
    by how often an item is had) and the leading ones of the table. In so few numbers noise is small; what is left of it in
    their singular values is taken off (Gavish and Donoho, "Optimal shrinkage of singular values", IEEE Transactions on
    Information Theory 2017). Then each number by itself: the further what is expected of it lies above the noise, the more
    is believed of what it says. `noise`: the deviation of the noise.
    """
    table = (noisy + _BACKWARDS * noisy.T) / (1 + _BACKWARDS)
    deviation = noise * np.sqrt(1 + _BACKWARDS**2) / (1 + _BACKWARDS)
    own_left, _, own_right = randomized_svd(table, min(_OWN, len(table) - 1), random_state=0)
    left = _orthonormal(np.hstack([directions * _size(table.sum(1)), own_left]))
    right = _orthonormal(np.hstack([directions * _size(table.sum(0)), own_right.T]))
    expected = np.maximum(left @ _shrunk(left.T @ table @ right, deviation) @ right.T, 0)
    allowed = (_SPREAD * expected) ** 2
    believed = allowed / (allowed + deviation**2)
    return np.asarray(np.maximum(expected + believed * (table - expected), 0), dtype=np.float32)


def _size(sums: np.ndarray) -> np.ndarray:
    """Return the square root [items, 1] of how often an item is had, and something for those that are not seen."""
    return np.asarray(np.sqrt(np.maximum(sums, max(float(sums.mean()), 1e-3) / 200))[:, None])


def _orthonormal(columns: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of what columns [n, m] span, without directions that hardly any of them has."""
    lengths = np.linalg.norm(columns, axis=0)
    left, values, _ = np.linalg.svd(columns / np.maximum(lengths, 1e-9), full_matrices=False)
    return np.asarray(left[:, values > 1e-3 * values[0]])


def _shrunk(core: np.ndarray, deviation: float) -> np.ndarray:
    """Return a matrix without what noise adds to its singular values."""
    left, values, right = np.linalg.svd(core, full_matrices=False)
    scale = deviation * np.sqrt(max(core.shape))
    relative = np.maximum(values / scale, 2.0)
    return np.asarray((left * (scale * np.sqrt((relative**2 - 2) ** 2 - 4) / relative)) @ right)
