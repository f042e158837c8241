"""The stage `rank` over many users: examples of a group of them at a time, so that memory does not grow with their number.

An epoch goes through all users in a random order of chunks of neighbours. Some chunks make a group, and a group becomes
examples, rows and batches as a small data set does, in an order of its own: a buffer of so many shuffled users. Everything
follows from the seed, the stage, the epoch and the group, so any step can be made again. Epochs follow one another without
a gap; the next one begins within a step if it has to.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace

import numpy as np

from recommender.config import Config, StageConfig
from recommender.data.histories import Histories
from recommender.errors import DataError
from recommender.numerics.sampling import evenly
from recommender.prompting.example import Example
from recommender.training import epochs
from recommender.training.epochs import TrainingData

logger = logging.getLogger(__name__)
Rows = list[list[Example]]
#: users that lie beside one another, which are read together
CHUNK = 64
#: from so many users on a stage is streamed, in groups of `GROUP` users, where the config does not say
MANY, GROUP = 500_000, 32_768
#: places behind the present one that are kept: batches may be made ahead of the step that is saved
_KEPT = 4
#: groups that are made to count the batches of an epoch: with more of them, their number is an estimate
_COUNTED = 32


@dataclass
class Place:
    """Where a stream is: the group whose batches are at hand, and the number of its first batch since the stage began."""

    epoch: int = 0
    group: int = 0
    first: int = 0


class EpochStream:
    """The batches of a stage in one sequence over all epochs, numbered from 0."""

    def __init__(
        self, data: TrainingData, stage: StageConfig, number: int, seed: int, users: int, prefix: np.ndarray
    ) -> None:
        """`number`: that of the stage. `users`: how many become examples at a time. `prefix`: what rows begin with."""
        self.data, self.stage, self.number, self.seed, self.prefix = data, stage, number, seed, prefix
        self.histories = data.split.train.items
        self.chunks = math.ceil(len(self.histories) / CHUNK)
        self.chunks_at_once = max(users // CHUNK, 1)
        self.groups = max(math.ceil(self.chunks / self.chunks_at_once), 1)
        self.place = Place()
        self._passed: list[Place] = []
        self._batches: list[Rows] | None = None
        self._starts = _starts(data) if data.teacher is not None and stage.teacher else None

    def batch(self, number: int) -> Rows:
        """Return the rows of one batch; numbers that rise are the fastest."""
        if number < self.place.first:
            self.seek(self.place_of(number))
        while True:
            if self._batches is None:
                self._batches = self.of_group(self.place.epoch, self.place.group)
            if number < self.place.first + len(self._batches):
                return self._batches[number - self.place.first]
            self._passed = [*self._passed[-_KEPT:], self.place]
            self.seek(Place(*self._next(), self.place.first + len(self._batches)))

    def place_of(self, number: int) -> Place:
        """Return the nearest known place from which a batch is found: a group near it, or the start of the stage."""
        known = [place for place in (*self._passed, self.place) if place.first <= number]
        return max(known, key=lambda place: (place.first, place.epoch, place.group), default=Place())

    def seek(self, place: Place) -> None:
        """Go to a group; its batches are made when one is asked for."""
        if place != self.place:
            self.place, self._batches = Place(**vars(place)), None

    def of_group(self, epoch: int, group: int) -> list[Rows]:
        """Return the batches of one group of users, in their order."""
        # numpy takes a zero at the end for nothing, and the order of the chunks has the first three numbers
        random = np.random.default_rng([self.seed, self.number, epoch, group + 1])
        users = self.users_of(epoch, group)
        train = Histories(tuple(map(str, users)), tuple(self.histories[user] for user in users))
        part = replace(self.data, split=replace(self.data.split, train=train))
        starts = None if self._starts is None else self._starts[users]
        made = epochs.batches(epochs.examples(part, self.stage, random, starts), self.stage, self.prefix)
        return [made[i] for i in random.permutation(len(made))]

    def users_of(self, epoch: int, group: int) -> list[int]:
        """Return the users of one group, whole chunks of them."""
        order = np.random.default_rng([self.seed, self.number, epoch]).permutation(self.chunks)
        chosen = order[group * self.chunks_at_once : (group + 1) * self.chunks_at_once]
        return [
            user for chunk in chosen for user in range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(self.histories)))
        ]

    def count(self) -> int:
        """Return how many batches the first epoch has: exactly for some groups, else as an even sample of them tells.

        Raises DataError if nothing can be learned from.
        """
        sample = evenly(self.groups, _COUNTED)
        counted = sum(len(self.of_group(0, int(group))) for group in sample)
        if len(sample) < self.groups:
            logger.info("%d of %d groups of users were counted for the length of an epoch", len(sample), self.groups)
        if not counted:
            raise DataError("no user has an interaction left to train on", "give longer histories")
        return round(counted * self.groups / len(sample))

    def _next(self) -> tuple[int, int]:
        epoch, group = self.place.epoch, self.place.group + 1
        return (epoch, group) if group < self.groups else (epoch + 1, 0)


def open_stream(
    data: TrainingData, stage: StageConfig, config: Config, number: int, prefix: np.ndarray
) -> EpochStream | None:
    """Return the stream of a stage; None for one that is made as a whole: of few users, or of texts."""
    users = config.training.stream_users
    count = len(data.split.train.items)
    if stage.stage != "rank" or (users is None and count < MANY):
        return None
    return EpochStream(data, stage, number, config.seed, users or GROUP, prefix)


def _starts(data: TrainingData) -> np.ndarray:
    """Return the number of each user's first interaction among all, int64 [users]: a teacher's answers lie by these."""
    lengths = np.fromiter(map(len, data.split.train.items), np.int64, len(data.split.train.items))
    if data.teacher is not None and data.teacher.with_ends:
        lengths += 1
    return np.cumsum(lengths) - lengths
