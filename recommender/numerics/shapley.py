"""Shapley values of any game: exact for few players, sampled over orders of joining for more.

Shapley, "A Value for n-Person Games", 1953; the sampling of orders with their reverses: Mitchell et al., "Sampling
Permutations for Shapley Value Estimation", JMLR 2022.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import factorial

import numpy as np
from scipy.stats import spearmanr

#: sets of players, bool [sets, players] -> what each of them is worth, [sets, outcomes]
Worth = Callable[[np.ndarray], np.ndarray]


def all_sets(players: int) -> np.ndarray:
    """Return all sets of players, bool [2 ** players, players]; the bits of a row's number say who is in it."""
    return (np.arange(2**players)[:, None] >> np.arange(players) & 1).astype(bool)


def exact_shapley(players: int, worth: Worth) -> np.ndarray:
    """Return the Shapley values [players, outcomes]: what a player adds, averaged over all orders of joining.

    `worth` is asked once, for `all_sets`. The values add up to what all are worth less what nobody is.
    """
    numbers, sets = np.arange(2**players), all_sets(players)
    values = np.asarray(worth(sets), np.float64)
    share = np.array([factorial(n) * factorial(players - n - 1) / factorial(players) for n in range(players)])
    added = np.zeros((players, values.shape[1]))
    for player in range(players):
        before = numbers[~sets[:, player]]
        gains = values[before | 1 << player] - values[before]
        added[player] = share[sets[before].sum(1)] @ gains
    return added


def sampled_shapley(players: int, worth: Worth, orders: int, seed: int = 0) -> np.ndarray:
    """Return what each player adds in each of some orders of joining, [orders, players, outcomes]; see their mean.

    Every order is followed by its reverse, which lowers the variance; the seed decides which are drawn. In each order what
    is added sums up to what all are worth less what nobody is. `worth` is asked once; sets that recur are asked for once.
    """
    random = np.random.default_rng(seed)
    drawn: list[np.ndarray] = []
    while len(drawn) < orders:
        drawn += [order := random.permutation(players), order[::-1]]
    drawn = drawn[:orders]
    row_of: dict[frozenset[int], int] = {}
    for order in drawn:
        for n in range(players + 1):
            row_of.setdefault(frozenset(order[:n].tolist()), len(row_of))
    sets = np.zeros((len(row_of), players), bool)
    for members, row in row_of.items():
        sets[row, list(members)] = True
    values = np.asarray(worth(sets), np.float64)
    added = np.zeros((orders, players, values.shape[1]))
    for number, order in enumerate(drawn):
        path = values[[row_of[frozenset(order[:n].tolist())] for n in range(players + 1)]]
        added[number, order] = np.diff(path, axis=0)
    return added


def reliability(added: np.ndarray) -> float:
    """Return how far another draw of as many orders would rank the players alike: 1 the same, 0 by chance.

    `added` [orders, players], of one outcome. Each order with its reverse is one estimate; the mean rank correlation of two
    such estimates says how well their mean is known (Spearman and Brown, 1910). 0 where there is one estimate only.
    """
    estimates = [pair.mean(0) for pair in np.split(added[: len(added) // 2 * 2], max(len(added) // 2, 1))]
    if len(estimates) < 2:
        return 0.0
    alike = float(np.mean([rank_correlation(one, other) for one, other in combinations(estimates, 2)]))
    return max(0.0, len(estimates) * alike / (1 + (len(estimates) - 1) * alike)) if alike > 0 else 0.0


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return Spearman's rank correlation of two lists of values; 0 where all values of one are equal."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(one, other).statistic)
