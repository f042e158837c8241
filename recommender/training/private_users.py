"""Which users take part in a private step, and what each of them tells: one batch a user, of that user alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recommender.config import StageConfig
from recommender.data.histories import Histories
from recommender.prompting.example import Example
from recommender.prompting.packing import Batch, pack
from recommender.training import epochs
from recommender.training.epochs import TrainingData
from recommender.training.private_plan import DROPOUT, NOISE, SAMPLE, PrivatePlan, Secret


def poisson_sample(users: int, rate: float, random: np.random.Generator) -> np.ndarray:
    """Return the users that are drawn, int64 [n], rising: each alone, with the same chance."""
    return np.flatnonzero(random.random(users) < rate)


class PrivateUsers:
    """The batches of a private stage."""

    def __init__(
        self,
        data: TrainingData,
        stage: StageConfig,
        number: int,
        plan: PrivatePlan,
        secret: Secret,
        pieces: int | None,
        prefix: np.ndarray,
    ) -> None:
        """`number`: that of the stage. `pieces`: of a history so many are read in a step. `prefix`: what rows begin with."""
        self.data, self.stage, self.number, self.plan, self.secret = data, stage, number, plan, secret
        self.pieces, self.prefix = pieces, prefix

    def parts(self, step: int) -> list[Batch]:
        """Return one batch for each user that takes part in a step and has something to tell."""
        drawn = poisson_sample(self.plan.users, self.plan.rate, self.secret.random(SAMPLE, self.number, step))
        told = (self._told(int(user), self.secret.random(SAMPLE, self.number, step, int(user))) for user in drawn)
        return [self._batch(examples) for examples in told if examples]

    def noise(self, step: int) -> np.random.Generator:
        """Return what the noise of a step is drawn from."""
        return self.secret.random(NOISE, self.number, step)

    def seed(self, step: int, part: int) -> int:
        """Return the seed of torch for a part of a step: dropout is as secret as the noise."""
        return int(self.secret.random(DROPOUT, self.number, step, part).integers(2**63))

    def _told(self, user: int, random: np.random.Generator) -> list[Example]:
        train = self.data.split.train
        history = train.items[user]
        if len(history) < 2:
            return []
        own = replace(self.data, split=replace(self.data.split, train=Histories((train.user_ids[user],), (history,))))
        examples = epochs.examples(own, self.stage, random)  # in random order
        return examples[: self.pieces]

    def _batch(self, examples: Sequence[Example]) -> Batch:
        rows = pack(examples, self.stage.row_tokens, len(self.prefix))
        return epochs.as_batch([[examples[i] for i in row] for row in rows], self.prefix)
