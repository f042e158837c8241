"""Made-up worlds in which the truth about experiments is known: people who take from lists, and lists that chance made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Literal

import numpy as np

#: what a person takes at a rank hangs on the item there; on those above as well; on the whole list
Kind = Literal["independent", "cascade", "whole list"]
KINDS: tuple[Kind, ...] = ("independent", "cascade", "whole list")
#: how unlike people are in how often they take: Beta with so many imagined lists
_ALIKE = 8.0
_LISTS_A_PERSON = 4
#: how many go on to the next rank
_EXAMINED = 0.85
#: how often the best item is taken, so that even the keenest stay below 1
_MOST_LIKED = 0.65
#: how much less is taken beside what is liked
_SATED = 4.0


def people_stream(random: np.random.Generator, people: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Return takes [people] and lists [people] of people who take from a list at `rate` in the mean, each at their own.

    Lists of a person: one and more, four in the mean. Who takes more sees no more lists, so `rate` is also that of lists.
    """
    lists = random.geometric(1 / _LISTS_A_PERSON, people)
    own = random.beta(_ALIKE * rate, _ALIKE * (1 - rate), people)
    return random.binomial(lists, own).astype(np.float64), lists.astype(np.float64)


@dataclass(frozen=True)
class ListWorld:
    """A world of a few situations and items, small enough that all its lists can be counted.

    `served`, `other` [situations, lists, ranks]: probability of each item of each list given those above it, under two
    policies. `at_rank`: the same whatever stands above. `taken` [situations, lists, ranks]: probability of a take.
    """

    slates: np.ndarray
    served: np.ndarray
    other: np.ndarray
    taken: np.ndarray

    @property
    def truth(self) -> float:
        """The takes a list of the other policy."""
        return float((self.other.prod(2) * self.taken.sum(2)).sum(1).mean())

    @cached_property
    def at_rank(self) -> tuple[np.ndarray, np.ndarray]:
        """For both policies the probability of each list's items at their ranks, whatever stands above."""
        return self._marginals(self.served), self._marginals(self.other)

    def _marginals(self, chances: np.ndarray) -> np.ndarray:
        whole, result = chances.prod(2), np.zeros(chances.shape)
        for rank in range(self.slates.shape[1]):
            for item in np.unique(self.slates):
                here = self.slates[:, rank] == item
                result[:, here, rank] = whole[:, here].sum(1, keepdims=True)
        return result


def list_world(
    random: np.random.Generator, kind: Kind, items: int = 5, ranks: int = 3, situations: int = 8
) -> ListWorld:
    """Return a world; both policies draw items without replacement by scores of their own, which are alike to a half."""
    slates = np.array(list(permutations(range(items), ranks)))
    scores = random.normal(0, 0.8, (situations, items))
    others = 0.5 * scores + random.normal(0, 0.6, (situations, items))
    liked = _MOST_LIKED * random.beta(1, 2, (situations, items))
    taken = _taken(kind, liked[:, slates])
    return ListWorld(slates, _plackett_luce(scores, slates), _plackett_luce(others, slates), taken)


def _plackett_luce(scores: np.ndarray, slates: np.ndarray) -> np.ndarray:
    weights = np.exp(scores)
    chosen = weights[:, slates]
    left = weights.sum(1)[:, None, None] - np.cumsum(chosen, axis=2) + chosen
    return np.asarray(chosen / left)


def _taken(kind: Kind, liked: np.ndarray) -> np.ndarray:
    """Return the probability of a take [..., ranks] for how well liked the items are; who sees better ones takes less."""
    ranks = liked.shape[-1]
    plain = liked * _EXAMINED ** np.arange(ranks)
    if kind == "independent":
        return np.asarray(plain)
    if kind == "cascade":
        above = np.concatenate([np.zeros((*liked.shape[:-1], 1)), np.cumsum(liked, -1)[..., :-1]], -1)
        return np.asarray(plain * np.exp(-_SATED * above))
    others = liked.sum(-1, keepdims=True) - liked
    return np.asarray(plain * np.exp(-_SATED * others))


@dataclass(frozen=True)
class Log:
    """Lists that were served. `situations`, `slates` [n]: which; `rewards` [n, ranks]; `people` [n]: to whom."""

    situations: np.ndarray
    slates: np.ndarray
    rewards: np.ndarray
    people: np.ndarray

    def of(self, table: np.ndarray) -> np.ndarray:
        """Return the rows of a table [situations, lists, ...] that belong to these lists."""
        return np.asarray(table[self.situations, self.slates])


def served_log(random: np.random.Generator, world: ListWorld, people: int) -> Log:
    """Serve some lists to each of some people, half of whom take thrice as often as the others."""
    lists = random.integers(1, 2 * _LISTS_A_PERSON, people)
    persons = np.repeat(np.arange(people), lists)
    keenness = np.where(random.random(people) < 0.5, 0.5, 1.5)[persons]
    situations = random.integers(0, world.served.shape[0], len(persons))
    ends = np.cumsum(world.served.prod(2), axis=1)[situations]
    slates = np.minimum((ends < random.random((len(persons), 1))).sum(1), ends.shape[1] - 1)
    chances = world.taken[situations, slates] * keenness[:, None]
    rewards = (random.random(chances.shape) < chances).astype(np.float64)
    return Log(situations, slates, rewards, persons)


@dataclass(frozen=True)
class RankerWorld:
    """Two rankers of the same items, of which the second is a little better: it errs less."""

    items: int = 60
    shown: int = 10
    first_error: float = 1.0
    second_error: float = 0.86

    def people(self, random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return with which chance each person takes what they look at [n, items], and the lists [n, shown] of both."""
        liking = random.normal(-2.6, 1.0, (count, self.items))
        error = random.normal(0, 1, (count, self.items))
        first, second = (
            np.argsort(-(liking + size * error), axis=1, kind="stable")[:, : self.shown]
            for size in (self.first_error, self.second_error)
        )
        return 1 / (1 + np.exp(-liking)), first, second


def taken_from(random: np.random.Generator, chances: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Return bool [n, shown]: what people take of lists [n, shown], the less the further down. `chances` [n, items]."""
    looked = np.take_along_axis(chances, shown, axis=1) * _EXAMINED ** np.arange(shown.shape[1])
    return np.asarray(random.random(shown.shape) < looked)
