"""How well an attribution tells which parts of a medium matter: what the score does while parts go, or come, in its order.

Deletion and insertion: Petsiuk et al., "RISE", BMVC 2018. Sufficiency and comprehensiveness: DeYoung et al., "ERASER", ACL
2020. Both beside random orders, and the order that begins in the middle, where pictures have their subject.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recommender.eval.bootstrap import Bootstrap

#: shares of the parts at which curves are measured
SHARES = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
#: shares of which sufficiency and comprehensiveness are told
TOLD = (0.1, 0.2, 0.5)
ATTRIBUTION, RANDOM, CENTRE = "attribution", "random", "centre"
#: random orders of each case, of which the mean is taken
RANDOM_ORDERS = 3
#: sets of parts, bool [sets, parts] -> scores [sets] with only these
Scores = Callable[[np.ndarray], np.ndarray]
#: higher is better
MEASURES = (
    "deletion",
    "insertion",
    *(f"comprehensiveness@{share:.0%}" for share in TOLD),
    *(f"sufficiency@{share:.0%}" for share in TOLD),
)


def curves(orders: Mapping[str, Sequence[np.ndarray]], parts: int, scores: Scores) -> dict[str, np.ndarray]:
    """Return for each name the mean curves [2, shares] of its orders of parts: the score while parts are deleted, in the
    order given, and while they are inserted into nothing. Each set of parts is scored once."""
    counts = [round(share * parts) if share in (0, 1) else max(1, round(share * parts)) for share in SHARES]
    wanted = {
        name: [
            [_members(parts, order[n:]) for n in counts] + [_members(parts, order[:n]) for n in counts] for order in of
        ]
        for name, of in orders.items()
    }
    sets = list({s.tobytes(): s for of in wanted.values() for one in of for s in one}.values())
    value = dict(zip((s.tobytes() for s in sets), scores(np.stack(sets)).tolist(), strict=True))
    found = {name: np.array([[value[s.tobytes()] for s in one] for one in of]) for name, of in wanted.items()}
    return {name: values.mean(0).reshape(2, len(counts)) for name, values in found.items()}


def measures(curve: np.ndarray) -> np.ndarray:
    """Return the measures [MEASURES] of curves [2, shares], in nats, higher is better.

    Deletion: the mean fall of the score along its curve; insertion: the mean rise. Comprehensiveness: the fall once the
    first parts are gone; sufficiency: the score with the first parts alone, less that of the whole.
    """
    deleted, inserted = curve
    mean = [float(np.trapezoid(values, SHARES)) for values in curve]
    places = [SHARES.index(share) for share in TOLD]
    falls, rests = deleted[0] - deleted[places], inserted[places] - inserted[-1]
    return np.array([deleted[0] - mean[0], mean[1] - inserted[0], *falls, *rests])


def orders_of(values: np.ndarray, from_centre: np.ndarray, seed: Sequence[int]) -> dict[str, list[np.ndarray]]:
    """Return the orders that are compared: by value, the highest first; some at random; and from the centre outwards."""
    random = np.random.default_rng(seed)
    return {
        ATTRIBUTION: [np.argsort(-values, kind="stable")],
        RANDOM: [random.permutation(len(values)) for _ in range(RANDOM_ORDERS)],
        CENTRE: [np.argsort(from_centre, kind="stable")],
    }


def compared(cases: np.ndarray, seed: int) -> dict[str, Any]:
    """Return the means of measures [cases, orders, MEASURES], and by how much the attribution is better than the others,
    each with its interval over cases, paired."""
    resampled = Bootstrap(cases, seed)
    means, names = resampled.means(), (ATTRIBUTION, RANDOM, CENTRE)
    told: dict[str, Any] = {}
    for column, measure in enumerate(MEASURES):
        told[measure] = {name: _interval(means, row, column) for row, name in enumerate(names)}
        for row, name in enumerate(names[1:], 1):
            told[measure][f"better than {name}"] = _interval(resampled.differences(row), 0, column)
    return told


def mean_interval(values: Sequence[float], seed: int) -> dict[str, float]:
    """Return the mean of one value a case, and its interval."""
    return _interval(Bootstrap(np.asarray(values, np.float64)[:, None, None], seed).means(), 0, 0)


def _interval(estimates: Any, row: int, column: int) -> dict[str, float]:
    """Return an estimate with the bounds of its interval."""
    cells = {"mean": estimates.mean, "low": estimates.low, "high": estimates.high}
    return {name: round(float(table[row, column]), 4) for name, table in cells.items()}


def _members(parts: int, chosen: np.ndarray) -> np.ndarray:
    members = np.zeros(parts, bool)
    members[chosen] = True
    return members
