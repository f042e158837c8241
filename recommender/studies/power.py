"""A power analysis: could any ranking by what items are like be told from popularity, with the users that there are?

Each choice is modelled as a conditional logit (McFadden, "Conditional logit analysis of qualitative choice behavior", 1974):
the chance of an item grows with its popularity and with its likeness to what the user had. Both weights are fitted to the
data. Then worlds are drawn in which the weights are exactly these, or the largest that the data allow. In such a world no
method ranks better than the weights themselves do. If even that ranking is seldom told from popularity by the paired
interval, the test is too small for every method that goes by this likeness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from recommender.config import Config, Modality
from recommender.encoders.features import Features
from recommender.errors import DataError
from recommender.eval.holdout import Holdout
from recommender.numerics.gains import single_target_ndcg
from recommender.numerics.vectors import unit_rows
from recommender.pipelines.train import prepare
from recommender.progress import Progress
from recommender.studies.splits import last_item

CUTOFF = 10
#: the chance of finding an effect that is asked of a test, and the normal quantiles of it and of the 95 % interval
POWER, _BOTH = 0.8, 1.96 + 0.84
_STEPS, _TURNS = 40, 9
_LARGEST = 8.0


@dataclass(frozen=True)
class Expected:
    """What the best ranking reaches in worlds of one weight of likeness.

    `recall`, `popular`: R@10 of the best ranking and of popularity. `gain`: in NDCG@10. `found`: share of the worlds in
    which the paired interval of the gain lies above zero. `users`: how many are needed for that in 80 % of them; None: no
    number.
    """

    weight: float
    popular: float
    recall: float
    gain: float
    found: float
    users: int | None


@dataclass(frozen=True)
class ModalityPower:
    """One modality: the fitted weight of likeness with its interval, and worlds of that weight, of the interval's upper end,
    and of the smallest weight that is found in 80 % of the worlds."""

    modality: Modality
    weight: float
    low: float
    high: float
    fitted: Expected
    largest: Expected
    detectable: Expected


@dataclass(frozen=True)
class PowerStudy:
    """`users`: those who are tested. `choices`: those that the weights were fitted to."""

    users: int
    choices: int
    modalities: tuple[ModalityPower, ...]


def power_study(config: Config, worlds: int = 200, progress: Progress | None = None) -> PowerStudy:
    """Encode a recipe's catalogue and analyse each of its modalities. Raises DataError without content or users."""
    prepared = prepare(config, progress)
    holdout = last_item(prepared.histories, len(prepared.catalogue))
    return power_of(prepared.features.content(), prepared.histories.items, holdout, worlds, config.seed)


def power_of(
    features: Features, histories: Sequence[np.ndarray], holdout: Holdout, worlds: int = 200, seed: int = 0
) -> PowerStudy:
    """Analyse each modality of `features`; `histories`: all of them whole, to which weights are fitted."""
    if not features.vectors:
        raise DataError("no item has a text, a picture or a sound", "switch one of them on under `encoders`")
    popularity = np.bincount(np.concatenate([*histories]).astype(np.int64), minlength=holdout.items).astype(float)
    tested = [np.asarray(holdout.histories[user]) for user in holdout.test_users]
    choices = [(np.delete(h, place), int(h[place])) for h in histories for place in range(len(h)) if len(h) > 1]
    owners = np.repeat(np.arange(len(histories)), [len(h) if len(h) > 1 else 0 for h in histories])
    found = []
    for modality in features.vectors:
        units = unit_rows(features.table(modality))
        fit = Choices.of(units, choices, popularity).fit(owners)
        worlds_of = _Worlds(units, tested, popularity, float(fit[0][0]), worlds, seed)
        weight, spread = float(fit[0][1]), 1.96 * float(fit[1][1])
        ends = weight - spread, weight + spread
        expected = worlds_of.expected(max(weight, 0.0)), worlds_of.expected(max(ends[1], 0.0))
        found.append(ModalityPower(modality, weight, *ends, *expected, worlds_of.detectable()))
    return PowerStudy(len(tested), len(choices), tuple(found))


def likeness(units: np.ndarray, history: np.ndarray) -> np.ndarray:
    """Return how like each item [items] is to a history: mean cosine, in standard deviations over the items outside it."""
    mean = units @ units[history].mean(0)
    outside = np.delete(mean, history)
    return np.asarray((mean - outside.mean()) / max(float(outside.std()), 1e-9))


@dataclass(frozen=True)
class Choices:
    """`inputs` [choices, items, 2]: log popularity and likeness; `open` [choices, items]: what could be chosen; `chosen`."""

    inputs: np.ndarray
    open: np.ndarray
    chosen: np.ndarray

    @classmethod
    def of(cls, units: np.ndarray, choices: Sequence[tuple[np.ndarray, int]], popularity: np.ndarray) -> Choices:
        """Describe choices, (the rest of a history, what was chosen); a choice does not count towards its own popularity."""
        inputs = np.empty((len(choices), len(units), 2))
        free = np.ones((len(choices), len(units)), bool)
        chosen = np.array([item for _, item in choices])
        for row, (history, item) in enumerate(choices):
            before = popularity.copy()
            before[item] -= 1
            inputs[row] = np.stack([np.log1p(before), likeness(units, history)], 1)
            free[row, history] = False
        return cls(inputs, free, chosen)

    def fit(self, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the likeliest weights [2] and their standard errors [2], by Newton's method.

        `owners` [choices]: whose they are; choices of one person are not taken to be independent (Liang and Zeger,
        "Longitudinal data analysis using generalized linear models", 1986).
        """
        weights, rows = np.zeros(2), np.arange(len(self.chosen))
        for _ in range(_STEPS):
            chances = softmax(np.where(self.open, self.inputs @ weights, -np.inf), axis=1)
            mean = np.einsum("ni,nik->nk", chances, self.inputs)
            scores = self.inputs[rows, self.chosen] - mean
            curvature = np.einsum("ni,nik,nil->kl", chances, self.inputs, self.inputs) - mean.T @ mean
            step = np.linalg.solve(curvature + 1e-6 * np.eye(2), scores.sum(0))
            weights = weights + np.clip(step, -1, 1)
            if np.abs(step).max() < 1e-8:
                break
        by_owner = np.zeros((int(owners.max()) + 1, 2))
        np.add.at(by_owner, owners, scores)
        inverse = np.linalg.inv(curvature + 1e-6 * np.eye(2))
        return weights, np.sqrt(np.diag(inverse @ (by_owner.T @ by_owner) @ inverse))


class _Worlds:
    """Worlds in which the tested users choose by given weights."""

    def __init__(
        self,
        units: np.ndarray,
        histories: Sequence[np.ndarray],
        popularity: np.ndarray,
        weight: float,
        worlds: int,
        seed: int,
    ) -> None:
        self.like = np.stack([likeness(units, history) for history in histories])
        self.popular = np.tile(weight * np.log1p(popularity), (len(histories), 1))
        for row, history in enumerate(histories):
            self.popular[row, history] = -np.inf
        self.worlds, self.seed = worlds, seed

    def expected(self, weight: float) -> Expected:
        """Return what the best ranking reaches where likeness has this weight."""
        best = self.popular + weight * self.like
        chances = softmax(best, axis=1)
        random = np.random.default_rng(self.seed)
        drawn = random.random((self.worlds, len(chances), 1))
        targets = np.minimum((np.cumsum(chances, 1)[None] < drawn).sum(-1), chances.shape[1] - 1)
        ours, popular = _ranks(best)[_each(targets)], _ranks(self.popular)[_each(targets)]
        gains = single_target_ndcg(ours, CUTOFF) - single_target_ndcg(popular, CUTOFF)
        errors = gains.std(1, ddof=1) / np.sqrt(gains.shape[1])
        found = float((gains.mean(1) - 1.96 * errors > 0).mean())
        mean, spread = float(gains.mean()), float(gains.std())
        needed = int(np.ceil((_BOTH * spread / mean) ** 2)) if mean > 0 and spread > 0 else None
        return Expected(weight, float((popular <= CUTOFF).mean()), float((ours <= CUTOFF).mean()), mean, found, needed)

    def detectable(self) -> Expected:
        """Return the smallest weight that is found in 80 % of the worlds, by halving."""
        low, high = 0.0, _LARGEST
        for _ in range(_TURNS):
            middle = (low + high) / 2
            low, high = (low, middle) if self.expected(middle).found >= POWER else (middle, high)
        return self.expected(high)


def _each(targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.broadcast_to(np.arange(targets.shape[1]), targets.shape), targets


def _ranks(scores: np.ndarray) -> np.ndarray:
    """Return the rank of each item [users, items], 1 for the best."""
    return 1 + np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1, kind="stable")
