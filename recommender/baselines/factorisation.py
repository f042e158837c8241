"""Matrix factorisations. A user is folded in from the history alone, so new users are served without a fit.

With a decay, an item n interactions before the last weighs exp(-n / decay) in the fold-in, not in the fit. Settings
were chosen by NDCG@10 on MovieLens-100K, with the interaction before the last of each user as target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import svds
from threadpoolctl import threadpool_limits

from recommender.baselines.baseline import FitData
from recommender.baselines.history_matrix import history_matrix
from recommender.errors import import_extra


class PureSvd:
    """The history projected onto the first right singular vectors of the matrix of histories.

    Cremonesi, Koren and Turrin, "Performance of recommender algorithms on top-n recommendation tasks", RecSys 2010.
    Validation N@10 .125; 32 and 128 factors .120 and .101; decay 4 and 20 .114 and .118; without decay, which is the
    paper's, 32 factors are best (.081).
    """

    name = "svd"

    def __init__(self, factors: int = 64, decay: float | None = 8.0) -> None:
        self.factors = factors
        self.decay = decay

    def fit(self, data: FitData) -> None:
        """Decompose the unweighted histories; fewer factors if the matrix is too small for them."""
        seen = history_matrix(data.histories, data.items)
        factors = min(self.factors, min(seen.shape) - 1)
        start = np.random.default_rng(data.seed).standard_normal(min(seen.shape)).astype(np.float32)
        self._items = np.zeros((data.items, 1), np.float32)
        if factors > 0 and seen.nnz:
            self._items = np.ascontiguousarray(svds(seen, k=factors, v0=start)[2].T)

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the projected histories, weighted by recency, [users, items]."""
        return (history_matrix(histories, len(self._items), self.decay) @ self._items) @ self._items.T


class Als:
    """Weighted least squares on implicit feedback, as the library `implicit` fits it.

    Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008. The factors of a user
    solve the least squares for the history with the items' factors fixed. Validation N@10 .133;
    64 factors .128, regularisation 1 and 30 .109 and .083, alpha 10 .114, decay 5 and 12 .130; without decay .083.
    Sparser histories need a higher alpha: on Amazon Beauty 10 is better than 1.
    """

    name = "als"

    def __init__(
        self, factors: int = 128, regularisation: float = 10.0, alpha: float = 1.0, decay: float | None = 8.0
    ) -> None:
        self.factors = factors
        self.regularisation = regularisation
        self.alpha = alpha
        self.decay = decay

    def fit(self, data: FitData) -> None:
        """Alternate between users and items. Raises RecommenderError without the library."""
        als = import_extra("implicit.cpu.als", self.name, "eval")
        self._model = als.AlternatingLeastSquares(
            factors=self.factors,
            regularization=self.regularisation,
            alpha=self.alpha,
            iterations=15,
            random_state=data.seed,
        )
        # the library runs its own threads; those of the linear algebra below it would compete with them
        with threadpool_limits(1, "blas"):
            self._model.fit(_matrix(data.histories, data.items), show_progress=False)

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return products of recalculated user factors and item factors, [users, items]."""
        factors: np.ndarray = self._model.item_factors
        seen = _matrix(histories, len(factors), self.decay)
        with threadpool_limits(1, "blas"):
            users = self._model.recalculate_user(np.arange(len(histories)), seen)
        return np.asarray(users @ factors.T, dtype=np.float32)


class Bpr:
    """Factors that rank seen items above unseen ones, as the library `implicit` fits them.

    Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", UAI 2009. Validation N@10 .105; learning
    rate .05 .089, 64 and 128 factors .101 and .094; without decay .069. A fold-in by least squares on the items'
    factors instead of FoldIn gave .083 at these settings.
    """

    name = "bpr"

    def __init__(
        self,
        factors: int = 32,
        learning_rate: float = 0.01,
        regularisation: float = 0.01,
        iterations: int = 200,
        decay: float | None = 8.0,
    ) -> None:
        self.factors = factors
        self.learning_rate = learning_rate
        self.regularisation = regularisation
        self.iterations = iterations
        self.decay = decay

    def fit(self, data: FitData) -> None:
        """Descend on sampled pairs, in one thread to be repeatable. Raises RecommenderError without the library."""
        bpr = import_extra("implicit.cpu.bpr", self.name, "eval")
        model = bpr.BayesianPersonalizedRanking(
            factors=self.factors,
            learning_rate=self.learning_rate,
            regularization=self.regularisation,
            iterations=self.iterations,
            num_threads=1,
            random_state=data.seed,
        )
        model.fit(_matrix(data.histories, data.items), show_progress=False)
        # the last factor of an item is its bias, that of a user is 1
        self._items, self._biases = model.item_factors[:, :-1], model.item_factors[:, -1]
        self._fold = FoldIn(model.user_factors[:, :-1], self._items, data)

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return products of folded-in users and items, and the items' biases, [users, items]."""
        return self._fold(histories, self.decay) @ self._items.T + self._biases


class FoldIn:
    """Maps a history to user factors: a ridge regression of the training users' factors on their mean item factors.

    A factorisation learns a row for each training user and none for anybody else. The map can be computed for every
    history, so that all users are treated alike.
    """

    def __init__(self, users: np.ndarray, items: np.ndarray, data: FitData, ridge: float = 1e-3) -> None:
        """Fit on learnt factors, users [training users, factors] and items [items, factors]."""
        self._items = items
        means = self._means(data.histories, None).astype(np.float64)
        gram = means.T @ means
        gram[np.diag_indices_from(gram)] += ridge * max(np.trace(gram) / len(gram), 1e-12)
        self._map = np.linalg.solve(gram, means.T @ users).astype(np.float32)

    def __call__(self, histories: Sequence[np.ndarray], decay: float | None) -> np.ndarray:
        """Return user factors, float32 [users, factors]."""
        return self._means(histories, decay) @ self._map

    def _means(self, histories: Sequence[np.ndarray], decay: float | None) -> np.ndarray:
        """Return the weighted mean of the items' factors and a 1 for the constant, float32 [users, factors + 1]."""
        rows = history_matrix(histories, len(self._items), decay)
        totals = np.maximum(rows.sum(axis=1), 1e-12)[:, None]
        return np.concatenate([(rows @ self._items) / totals, np.ones((len(histories), 1))], axis=1, dtype=np.float32)


def _matrix(histories: Sequence[np.ndarray], items: int, decay: float | None = None) -> Any:
    """Return the histories as the matrix type that `implicit` takes."""
    return sp.csr_matrix(history_matrix(histories, items, decay))
