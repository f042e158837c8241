"""A weighted sum of collaborative neighbours, content and popularity: each says what the others cannot know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from recommender.baselines.baseline import Baseline, FitData
from recommender.baselines.content import TfidfContent
from recommender.baselines.held_out import HeldOut, hold_out
from recommender.baselines.neighbours import Popularity, SequentialItemKNN
from recommender.baselines.transitions import standardised
from recommender.numerics.gains import single_target_ndcg
from recommender.numerics.sampling import evenly

_STEPS = 20  # weights are multiples of 1 / 20
_USERS = 2000


class Hybrid:
    """sequential-item-knn, tfidf-content and popularity, each standardised for every user, with fitted weights.

    A weighted hybrid in the sense of Burke, "Hybrid recommender systems: survey and experiments", 2002. The last item
    of each history is held out, the parts are fitted on the rest, and the weights, not negative and of sum 1, are those
    with the best NDCG@10 on what was held out; then the parts are fitted again on everything.
    There is nothing else to choose. On MovieLens-100K, the item before the last as target, N@10 .131 with weights
    .85, .15 and 0; sequential-item-knn alone .129.
    """

    name = "hybrid"

    def __init__(self) -> None:
        self._parts: tuple[Baseline, ...] = (SequentialItemKNN(), TfidfContent(), Popularity())
        self.weights = np.full(len(self._parts), 1 / len(self._parts))
        """Of the parts, in their order; known after the fit."""

    def fit(self, data: FitData) -> None:
        """Fit the weights, then the parts; equal weights if nobody has two items. Raises DataError without content."""
        train, held = hold_out(data.histories)
        if len(held.targets):
            some = evenly(len(held.targets), _USERS)
            self._fit_parts(replace(data, histories=train))
            self.weights = self._best(HeldOut([held.histories[user] for user in some], held.targets[some]))
        self._fit_parts(data)

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the weighted sum, [users, items]."""
        return np.einsum("p,pui->ui", self.weights.astype(np.float32), self._stacked(histories))

    def _fit_parts(self, data: FitData) -> None:
        for part in self._parts:
            part.fit(data)

    def _stacked(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack([standardised(part.scores(histories)) for part in self._parts])

    def _best(self, held: HeldOut) -> np.ndarray:
        """Return the weights with the highest NDCG@10, of equal ones the first."""
        grid = [weights for weights in product(range(_STEPS + 1), repeat=len(self._parts)) if sum(weights) == _STEPS]
        candidates = np.array(grid, dtype=np.float32) / _STEPS
        gains = np.zeros(len(candidates))
        for start in range(0, len(held.targets), 256):
            gains += self._gains(held.histories[start : start + 256], held.targets[start : start + 256], candidates)
        return candidates[gains.argmax()]

    def _gains(self, histories: Sequence[np.ndarray], targets: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return the NDCG@10 of each candidate [candidates], summed over the users; ties count against it."""
        lead = self._stacked(histories)
        lead -= lead[:, np.arange(len(targets)), targets][:, :, None]
        gains = np.zeros(len(candidates))
        for user, (history, target) in enumerate(zip(histories, targets, strict=True)):
            others = np.setdiff1d(np.arange(lead.shape[2]), np.append(history, target))
            ranks = (candidates @ lead[:, user, others] >= 0).sum(axis=1)
            gains += single_target_ndcg(ranks + 1, 10)
        return gains
