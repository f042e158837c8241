"""A hold-out: the histories that models see, the targets to predict, and the histories that may be learnt from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from recommender.baselines.topk import PADDING
from recommender.eval.metrics import as_table
from recommender.numerics.sampling import evenly


@dataclass(frozen=True)
class HoldoutPart:
    """One fit and its test users. learn: histories to fit on; users: [n] positions in the holdout's histories."""

    learn: Sequence[np.ndarray]
    users: np.ndarray

    def popularity(self, items: int) -> np.ndarray:
        """Return the number of interactions of each item in the histories of the fit, int64 [items]."""
        return np.bincount(np.concatenate([np.empty(0, np.int64), *self.learn]).astype(np.int64), minlength=items)


@dataclass(frozen=True)
class Holdout:
    """The test that all models of an evaluation take.

    histories: the input for each user, catalogue indices, oldest first.
    targets: [users] or [users, most], -1 where there is none.
    items: size of the catalogue.
    explicit_parts: the fits; without any there is one fit, on the histories, for all users.
    details: all that is needed to repeat the split.
    """

    histories: Sequence[np.ndarray]
    targets: np.ndarray
    items: int
    name: str = "test"
    explicit_parts: Sequence[HoldoutPart] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def parts(self) -> tuple[HoldoutPart, ...]:
        """The fits; every test user belongs to exactly one."""
        return tuple(self.explicit_parts) or (HoldoutPart(self.histories, np.arange(len(self.histories))),)

    @cached_property
    def table(self) -> np.ndarray:
        """The targets as [users, most]."""
        return as_table(np.asarray(self.targets))

    @cached_property
    def test_users(self) -> np.ndarray:
        """The positions of the users who have a target and belong to a part, in rising order."""
        return np.sort(np.concatenate([self._with_target(part.users) for part in self.parts]))

    @property
    def users_without_target(self) -> int:
        """The number of users of the parts who have no target."""
        return sum(len(part.users) for part in self.parts) - len(self.test_users)

    def test_histories(self) -> list[np.ndarray]:
        """Return the histories of the test users, in their order."""
        return [self.histories[user] for user in self.test_users.tolist()]

    def popularity(self) -> np.ndarray:
        """Return the interactions of each item that a fit learns from, [items]; the mean over the fits."""
        return np.mean([part.popularity(self.items) for part in self.parts], axis=0)

    def target_counts(self) -> np.ndarray:
        """Return how often the fit that serves a user has seen each target, int64 like `table`, 0 for padding."""
        counts = np.zeros(self.table.shape, dtype=np.int64)
        for part in self.parts:
            targets = self.table[part.users]
            counts[part.users] = np.where(targets == PADDING, 0, part.popularity(self.items)[targets])
        return counts

    def sampled(self, users: int | None) -> Holdout:
        """Return the holdout with an even sample of the test users; None or too many: all. The fits stay as they are."""
        if users is None or users >= len(self.test_users):
            return self
        sample = self.test_users[evenly(len(self.test_users), users)]
        parts = [HoldoutPart(part.learn, np.intersect1d(part.users, sample)) for part in self.parts]
        return replace(self, explicit_parts=parts)

    def _with_target(self, users: np.ndarray) -> np.ndarray:
        return users[(self.table[users] != PADDING).any(axis=1)]
