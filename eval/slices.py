"""Slices of a test: cold items, cold users, popular and rare targets, items without media.

A slice is a set of targets: bool, of the shape of the test users' targets. A user with several targets can belong to
several slices.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recommender.baselines.topk import PADDING
from recommender.eval.holdout import Holdout

FEW = 30
"""Slices with fewer users are marked: their bootstrap intervals are too narrow and single users decide."""

COLD = 5  # interactions of a cold item, items of a cold user
SPARSE = 20  # interactions of a sparse item


def target_slices(
    holdout: Holdout, lacking: Mapping[str, np.ndarray], learned: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return name -> bool [test users, most] of every slice; `lacking`: modality -> bool [items], true without it. A
    modality that no target has makes no slice. `learned`: how many interactions of each item were learned from, [items],
    if not all.

    Thirds are of the targets by popularity and of the users by length of history. Equal values stay together, so with
    many of them the thirds are not equally large.
    """
    table = holdout.table[holdout.test_users]
    real = table != PADDING
    seen = holdout.target_counts()[holdout.test_users]
    if learned is not None:
        seen = np.where(real, learned[np.where(real, table, 0)], 0)
    lengths = np.array([len(history) for history in holdout.test_histories()])
    low, high = _tertiles(seen[real])
    short, _ = _tertiles(lengths)
    slices = {
        "target never seen in training": seen == 0,
        f"target seen 1 to {COLD} times": (seen > 0) & (seen <= COLD),
        f"target seen {COLD + 1} to {SPARSE} times": (seen > COLD) & (seen <= SPARSE),
        f"target seen more than {SPARSE} times": seen > SPARSE,
        f"least popular third of targets: seen up to {low} times": seen <= low,
        f"middle third of targets: {low + 1} to {high} times": (seen > low) & (seen <= high),
        f"most popular third of targets: more than {high} times": seen > high,
        f"history of up to {COLD} items": (lengths <= COLD)[:, None],
        f"shortest third of histories: up to {short} items": (lengths <= short)[:, None],
    }
    absences = {f"target without {modality}": absent[table] for modality, absent in lacking.items()}
    slices |= {name: absent for name, absent in absences.items() if not absent[real].all()}
    return {name: members & real for name, members in slices.items()}


def _tertiles(values: np.ndarray) -> tuple[int, int]:
    low, high = np.quantile(values, [1 / 3, 2 / 3], method="inverted_cdf")
    return int(low), int(high)
