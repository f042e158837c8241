"""Training-free floors that a trained recommender has to beat: popularity, neighbours and EASE.

Each baseline is fitted on histories (catalogue indices, oldest first) and scores the whole catalogue for
any history, also for users it has not seen. Windows, neighbours and regularisation were chosen by NDCG@10
on MovieLens-100K, with the interaction before the last of each user as target; the decay of 8 was set
beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import scipy.linalg
import scipy.sparse as sp


class Ranker(Protocol):
    """What every baseline offers."""

    name: str

    def fit(self, train: Sequence[np.ndarray], items: int) -> None:
        """Learn from histories over a catalogue of `items` items."""

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


def _cosine(counts: sp.csr_array, popularity: np.ndarray) -> sp.csr_array:
    """Return counts [items, items] over the root of both popularities, without the diagonal."""
    scale = sp.diags_array(1 / np.sqrt(np.maximum(popularity, 1)).astype(np.float32))
    similar = sp.csr_array(scale @ counts @ scale)
    return sp.csr_array(similar - sp.diags_array(similar.diagonal()))


class Popularity:
    """The number of training users of an item, the same for everyone."""

    name = "popularity"

    def fit(self, train: Sequence[np.ndarray], items: int) -> None:
        """Count the users of each item."""
        self._counts = profiles(train, items).sum(axis=0).astype(np.float32)

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the counts for every user, [users, items]."""
        return np.tile(self._counts, (len(histories), 1))


class ItemKNN:
    """Cosine of the users of two items, summed over the history; order ignored.

    Sarwar et al., "Item-based collaborative filtering recommendation algorithms", WWW 2001. All
    neighbours are kept: cutting to the nearest 20, 50, 100 or 200 did not help on validation.
    """

    name = "item-knn"

    def fit(self, train: Sequence[np.ndarray], items: int) -> None:
        """Compare every two items that share a user."""
        seen = profiles(train, items)
        self._similar = _cosine(sp.csr_array(seen.T @ seen), seen.sum(axis=0))

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the summed similarity to the items of each history, [users, items]."""
        return (profiles(histories, self._similar.shape[0]) @ self._similar).toarray()


class SequentialItemKNN:
    """Item kNN that uses order twice: neighbours stand near each other, and recent history weighs more.

    Two items of one user that stand gap <= `window` interactions apart count exp(-gap / decay), in both
    directions: what stands shortly before is as telling as what comes after (validation N@10 .129,
    successors only .119). Counts are divided by the root of both popularities. An item n interactions
    before the end of the history weighs exp(-n / decay). Windows of 5, 10, 20 and 50 gave N@10 .124,
    .128, .129 and .130 on validation: 20 is within the noise of 50 and cheaper.
    """

    name = "sequential-item-knn"

    def __init__(self, window: int = 20, decay: float = 8.0) -> None:
        self.window = window
        self.decay = decay

    def fit(self, train: Sequence[np.ndarray], items: int) -> None:
        """Count pairs at every gap within the window, weighted by how near they are."""
        near = sp.csr_array((items, items), dtype=np.float32)
        for gap in range(1, self.window + 1):
            near = near + _pairs(train, items, gap, weight=np.exp(-gap / self.decay))
        self._similar = _cosine(sp.csr_array(near + near.T), profiles(train, items).sum(axis=0))

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the similarity to each history, its recent items first, [users, items]."""
        return (profiles(histories, self._similar.shape[0], self.decay) @ self._similar).toarray()


def _pairs(histories: Sequence[np.ndarray], items: int, gap: int, weight: float) -> sp.csr_array:
    """Return how often one item follows another at this gap, times weight: float32 [earlier, later]."""
    long = [history for history in histories if len(history) > gap]
    empty = np.empty(0, np.int64)
    earlier = np.concatenate([empty, *(history[:-gap] for history in long)])
    later = np.concatenate([empty, *(history[gap:] for history in long)])
    weights = np.full(len(earlier), weight, dtype=np.float32)
    return sp.csr_array((weights, (earlier, later)), shape=(items, items))


class Ease:
    """A linear item-to-item model in closed form, with zero diagonal.

    Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019. With a decay the histories
    are weighted by recency when scoring, not when fitting; "order ignored" is the paper's. Holds a dense
    [items, items] float32. `regularisation` of 100 without and 500 with decay were best on validation.
    """

    def __init__(self, name: str, regularisation: float, decay: float | None = None) -> None:
        self.name = name
        self.regularisation = regularisation
        self.decay = decay

    def fit(self, train: Sequence[np.ndarray], items: int) -> None:
        """Invert the regularised Gram matrix of the items."""
        seen = profiles(train, items)
        gram = (seen.T @ seen).toarray()
        gram[np.diag_indices(items)] += self.regularisation
        inverse = scipy.linalg.inv(gram, overwrite_a=True, check_finite=False)
        self._weights = -inverse / np.diag(inverse)
        np.fill_diagonal(self._weights, 0.0)

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the weighted sum over the items of each history, [users, items]."""
        return profiles(histories, len(self._weights), self.decay) @ self._weights


BASELINES: dict[str, Callable[[], Ranker]] = {
    "popularity": Popularity,
    "item-knn": ItemKNN,
    "sequential-item-knn": SequentialItemKNN,
    "ease": lambda: Ease("ease", regularisation=100.0),
    "ease-decay": lambda: Ease("ease-decay", regularisation=500.0, decay=8.0),
}
