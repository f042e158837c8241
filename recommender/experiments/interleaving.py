"""Team draft interleaving (Radlinski, Kurup and Joachims 2008): two rankings in one list, and whose items are taken.

As captains pick players, the rankings take turns in pairs, a coin deciding each time who is first; each contributes its
best item that is not there yet. Whoever has more of its items taken wins the list.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

FIRST, SECOND = 0, 1


@dataclass(frozen=True)
class Interleaved:
    """One list of two rankings. `teams`: which of them contributed each item, FIRST or SECOND; `probabilities`: that this
    item stands there, given the items and the teams above it."""

    items: tuple[str, ...]
    teams: tuple[int, ...]
    probabilities: tuple[float, ...]


def team_draft(first: Sequence[str], second: Sequence[str], k: int, random: np.random.Generator) -> Interleaved:
    """Return a list of up to `k` items of two rankings, best first, that chance merged."""
    items: list[str] = []
    teams: list[int] = []
    probabilities: list[float] = []
    while len(items) < k:
        best = [next(_left(ranking, items), None) for ranking in (first, second)]
        drawn = _picks(teams, random)
        team = drawn if best[drawn] is not None else 1 - drawn
        item = best[team]
        if item is None:
            break
        by_coin = teams.count(FIRST) == teams.count(SECOND) and None not in best and best[FIRST] != best[SECOND]
        items.append(item)
        teams.append(team)
        probabilities.append(0.5 if by_coin else 1.0)
    return Interleaved(tuple(items), tuple(teams), tuple(probabilities))


def _picks(teams: Sequence[int], random: np.random.Generator) -> int:
    """Return whose turn it is: of who has fewer items, or by a coin."""
    first, second = teams.count(FIRST), teams.count(SECOND)
    if first != second:
        return FIRST if first < second else SECOND
    return int(random.random() < 0.5)


def _left(ranking: Sequence[str], taken: Collection[str]) -> Iterator[str]:
    return (item for item in ranking if item not in taken)


def credit(teams: Sequence[int], taken: Collection[int]) -> int:
    """Return who wins a list: 1 the second ranking, -1 the first, 0 neither. `taken`: the places of taken items, from 0."""
    points = sum(1 if teams[place] == SECOND else -1 for place in set(taken))
    return (points > 0) - (points < 0)
