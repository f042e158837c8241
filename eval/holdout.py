"""What is held out: the histories that models know, the targets they are asked for, and what they may learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from recommender.baselines.ranking import PADDING
from recommender.eval.metrics import as_table
from recommender.numerics.sampling import evenly


@dataclass(frozen=True)
class HoldoutPart:
    """One fit and whom it is tested on: `learn` histories to fit on, `users` [n] positions in the holdout's histories."""

    learn: Sequence[np.ndarray]
    users: np.ndarray

    def popularity(self, items: int) -> np.ndarray:
        """Return the number of interactions of each item that the fit sees, int64 [items]."""
        return np.bincount(np.concatenate([np.empty(0, np.int64), *self.learn]).astype(np.int64), minlength=items)


@dataclass(frozen=True)
class Holdout:
    """A test that every model takes.

    histories: what is known of each user, catalogue indices, oldest first; targets: [users] or [users, most], -1 where
    there is none; items: size of the catalogue. parts: none means one fit, on the histories, for everybody.
    details: whatever a reader needs to make the split again.
    """

    histories: Sequence[np.ndarray]
    targets: np.ndarray
    items: int
    name: str = "test"
    given: Sequence[HoldoutPart] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def parts(self) -> tuple[HoldoutPart, ...]:
        """The fits; every user who is asked stands in one of them."""
        return tuple(self.given) or (HoldoutPart(self.histories, np.arange(len(self.histories))),)

    @cached_property
    def table(self) -> np.ndarray:
        """The targets as [users, most]."""
        return as_table(np.asarray(self.targets))

    @cached_property
    def asked(self) -> np.ndarray:
        """The positions of those who have a target and belong to a part, in rising order."""
        return np.sort(np.concatenate([self._having(part.users) for part in self.parts]))

    @property
    def left_out(self) -> int:
        """The number of users of the parts who have no target."""
        return sum(len(part.users) for part in self.parts) - len(self.asked)

    def popularity(self) -> np.ndarray:
        """Return the interactions of each item that a fit sees, [items]; the mean over the fits."""
        return np.mean([part.popularity(self.items) for part in self.parts], axis=0)

    def target_counts(self) -> np.ndarray:
        """Return how often the fit that serves a user has seen each target, int64 like `table`, 0 for padding."""
        counts = np.zeros(self.table.shape, dtype=np.int64)
        for part in self.parts:
            own = self.table[part.users]
            counts[part.users] = np.where(own == PADDING, 0, part.popularity(self.items)[own])
        return counts

    def sampled(self, users: int | None) -> Holdout:
        """Return the holdout with an even sample of those who are asked; every fit stays as it is."""
        if users is None or users >= len(self.asked):
            return self
        chosen = self.asked[evenly(len(self.asked), users)]
        return replace(self, given=[HoldoutPart(part.learn, np.intersect1d(part.users, chosen)) for part in self.parts])

    def _having(self, users: np.ndarray) -> np.ndarray:
        return users[(self.table[users] != PADDING).any(axis=1)]
