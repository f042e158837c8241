"""A weighted hybrid of collaborative neighbours, content and popularity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from recommender.baselines.baseline import Baseline, FitData
from recommender.baselines.content import TfidfContent
from recommender.baselines.neighbours import Popularity, SequentialItemKNN
from recommender.baselines.transitions import standardised
from recommender.baselines.validation_targets import ValidationTargets, split_validation
from recommender.numerics.gains import single_target_ndcg
from recommender.numerics.sampling import evenly

_STEPS = 20  # weights are multiples of 1 / 20
_MOST_USERS = 2000
_USERS_AT_ONCE = 256


class Hybrid:
    """sequential-item-knn, tfidf-content and popularity, each standardised for every user, with fitted weights.

    A weighted hybrid in the sense of Burke, "Hybrid recommender systems: survey and experiments", 2002. The parts are
    fitted without the last item of each history; the weights, not negative and of sum 1, are those with the best
    NDCG@10 on these items; then the parts are fitted again on everything. On MovieLens-100K, with the item before the
    last as target, NDCG@10 is .131 with weights .85, .15 and 0; sequential-item-knn alone has .129.
    """

    name = "hybrid"

    def __init__(self) -> None:
        self._parts: tuple[Baseline, ...] = (SequentialItemKNN(), TfidfContent(), Popularity())
        self.weights = np.full(len(self._parts), 1 / len(self._parts))
        """Weights of the parts, in their order; equal before the fit."""

    def fit(self, data: FitData) -> None:
        """Fit the weights, then the parts; equal weights if nobody has two items. Raises DataError without content."""
        train, validation = split_validation(data.histories)
        if len(validation.targets):
            sample = evenly(len(validation.targets), _MOST_USERS)
            self._fit_parts(replace(data, histories=train))
            histories = [validation.histories[user] for user in sample]
            self.weights = self._best_weights(ValidationTargets(histories, validation.targets[sample]))
        self._fit_parts(data)

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the weighted sum, [users, items]."""
        return np.einsum("p,pui->ui", self.weights.astype(np.float32), self._part_scores(histories))

    def _fit_parts(self, data: FitData) -> None:
        for part in self._parts:
            part.fit(data)

    def _part_scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the standardised scores of each part, [parts, users, items]."""
        return np.stack([standardised(part.scores(histories)) for part in self._parts])

    def _best_weights(self, validation: ValidationTargets) -> np.ndarray:
        """Return the weights with the highest NDCG@10; of equally good ones the first."""
        grid = [weights for weights in product(range(_STEPS + 1), repeat=len(self._parts)) if sum(weights) == _STEPS]
        candidates = np.array(grid, dtype=np.float32) / _STEPS
        gains = np.zeros(len(candidates))
        for start in range(0, len(validation.targets), _USERS_AT_ONCE):
            users = slice(start, start + _USERS_AT_ONCE)
            gains += self._gains(validation.histories[users], validation.targets[users], candidates)
        return candidates[gains.argmax()]

    def _gains(self, histories: Sequence[np.ndarray], targets: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Return the NDCG@10 of each candidate [candidates], summed over the users; ties count against it."""
        lead = self._part_scores(histories)  # how far each item is ahead of the target
        lead -= lead[:, np.arange(len(targets)), targets][:, :, None]
        gains = np.zeros(len(candidates))
        for user, (history, target) in enumerate(zip(histories, targets, strict=True)):
            others = np.setdiff1d(np.arange(lead.shape[2]), np.append(history, target))
            ranks = (candidates @ lead[:, user, others] >= 0).sum(axis=1)
            gains += single_target_ndcg(ranks + 1, 10)
        return gains
