"""Popularity and nearest neighbours.

Windows, numbers of neighbours and the decay of user-knn were chosen by NDCG@10 on MovieLens-100K, with the interaction
before the last of each user as target; the decay of 8 was set beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from recommender.baselines.baseline import FitData
from recommender.baselines.history_matrix import history_matrix, largest_entries, sparse_unit_rows


def _cosine(counts: sp.csr_array, popularity: np.ndarray) -> sp.csr_array:
    """Return counts [items, items] over the root of both popularities, without the diagonal."""
    scale = sp.diags_array(1 / np.sqrt(np.maximum(popularity, 1)).astype(np.float32))
    similar = sp.csr_array(scale @ counts @ scale)
    return sp.csr_array(similar - sp.diags_array(similar.diagonal()))


class Popularity:
    """The number of training users of an item, the same for every user."""

    name = "popularity"
    learned = ("_counts",)

    def fit(self, data: FitData) -> None:
        """Count the users of each item."""
        self._counts = history_matrix(data.histories, data.items).sum(axis=0).astype(np.float32)

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the counts for every user, [users, items]."""
        return np.tile(self._counts, (len(histories), 1))


class ItemKNN:
    """Cosine of the sets of users of two items, summed over the history; the order is ignored.

    Sarwar et al., "Item-based collaborative filtering recommendation algorithms", WWW 2001. All neighbours count: a cut
    to the nearest 20, 50, 100 or 200 did not help on validation.
    """

    name = "item-knn"
    learned = ("_similar",)

    def fit(self, data: FitData) -> None:
        """Compare every two items that share a user."""
        seen = history_matrix(data.histories, data.items)
        self._similar = _cosine(sp.csr_array(seen.T @ seen), seen.sum(axis=0))

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the summed similarity to the items of each history, [users, items]."""
        return (history_matrix(histories, self._similar.shape[0]) @ self._similar).toarray()


class UserKNN:
    """The histories of the k training users nearest by cosine, weighted by how near they are.

    Resnick et al., "GroupLens: an open architecture for collaborative filtering of netnews", CSCW 1994, on implicit
    feedback. In both histories an item n interactions before the last weighs exp(-n / decay), so that recent items
    decide which users are near and what they recommend. Validation N@10 .115; with 20 and 30 neighbours .102 and .111,
    with decay 10 and 20 at 50 neighbours .106 and .109; 50 neighbours without decay .067.
    """

    name = "user-knn"

    def __init__(self, neighbours: int = 50, decay: float | None = 15.0) -> None:
        self.neighbours = neighbours
        self.decay = decay

    def fit(self, data: FitData) -> None:
        """Store the weighted histories of all training users."""
        self._users = sparse_unit_rows(history_matrix(data.histories, data.items, self.decay))
        self._seen = history_matrix(data.histories, data.items, self.decay)

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the summed cosine of the neighbours who know an item, [users, items]."""
        users = sparse_unit_rows(history_matrix(histories, self._users.shape[1], self.decay))
        nearest = largest_entries(sp.csr_array(users @ self._users.T), self.neighbours)
        return (nearest @ self._seen).toarray()


class SequentialItemKNN:
    """Item kNN that uses the order twice: neighbours stand near each other, and recent history weighs more.

    Two items of one user that are gap <= `window` interactions apart count exp(-gap / decay), in both directions: items
    shortly before are as informative as those after (validation N@10 .129, successors only .119). Counts are divided by
    the root of both popularities. An item n interactions before the end of the history weighs exp(-n / decay). Windows
    of 5, 10, 20 and 50 gave validation N@10 of .124, .128, .129 and .130: 20 is within the noise of 50 and cheaper.
    """

    name = "sequential-item-knn"
    learned = ("_similar",)

    def __init__(self, window: int = 20, decay: float = 8.0) -> None:
        self.window = window
        self.decay = decay

    def fit(self, data: FitData) -> None:
        """Count pairs at every gap within the window, weighted by how near they are."""
        near = sp.csr_array((data.items, data.items), dtype=np.float32)
        for gap in range(1, self.window + 1):
            near = near + pair_counts(data.histories, data.items, gap, weight=np.exp(-gap / self.decay))
        self._similar = _cosine(sp.csr_array(near + near.T), history_matrix(data.histories, data.items).sum(axis=0))

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the similarity to each history, its recent items first, [users, items]."""
        return (history_matrix(histories, self._similar.shape[0], self.decay) @ self._similar).toarray()


def pair_counts(histories: Sequence[np.ndarray], items: int, gap: int, weight: float) -> sp.csr_array:
    """Return how often one item follows another `gap` interactions later, times `weight`: float32 [earlier, later]."""
    long_enough = [history for history in histories if len(history) > gap]
    empty = np.empty(0, np.int64)
    earlier = np.concatenate([empty, *(history[:-gap] for history in long_enough)])
    later = np.concatenate([empty, *(history[gap:] for history in long_enough)])
    weights = np.full(len(earlier), weight, dtype=np.float32)
    return sp.csr_array((weights, (earlier, later)), shape=(items, items))
