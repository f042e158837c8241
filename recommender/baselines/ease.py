"""EASE: a linear item-to-item model in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.linalg

from recommender.baselines.baseline import FitData
from recommender.baselines.history_matrix import history_matrix


class Ease:
    """A linear item-to-item model in closed form, with zero diagonal.

    Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019. With a decay, which the paper has not, the
    histories are weighted by recency when scoring, not when fitting. Holds a dense float32 [items, items]. A
    `regularisation` of 100 without and of 500 with decay was best on validation.
    """

    learned = ("_weights",)

    def __init__(self, name: str, regularisation: float, decay: float | None = None) -> None:
        self.name = name
        self.regularisation = regularisation
        self.decay = decay

    def fit(self, data: FitData) -> None:
        """Invert the regularised Gram matrix of the items."""
        seen = history_matrix(data.histories, data.items)
        gram = (seen.T @ seen).toarray()
        gram[np.diag_indices(data.items)] += self.regularisation
        inverse = scipy.linalg.inv(gram, overwrite_a=True, check_finite=False)
        self._weights = -inverse / np.diag(inverse)
        np.fill_diagonal(self._weights, 0.0)

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the weighted sum over the items of each history, [users, items]."""
        return history_matrix(histories, len(self._weights), self.decay) @ self._weights
