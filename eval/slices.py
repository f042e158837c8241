"""Parts of a test that a mean hides: cold items, cold users, popular and rare targets, items without media.

A slice is a choice of targets, bool like the holdout's table of those who are asked, so a user with several targets can
stand in several slices with one target each.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recommender.baselines.ranking import PADDING
from recommender.eval.holdout import Holdout

FEW = 30
"""With fewer users the percentile bootstrap is too narrow and single users decide: such slices are marked."""

COLD = 5  # interactions of a cold item, items of a cold user


def slices_of(holdout: Holdout, lacking: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return name -> bool [asked users, most] of every slice; `lacking`: modality -> bool [items] without it. A modality
    that no target has makes no slice.

    Thirds are those of the targets by popularity and of the users by length of history. Equal values stay together, so
    with many of them the thirds are not equally large.
    """
    table = holdout.table[holdout.asked]
    real = table != PADDING
    seen = holdout.target_counts()[holdout.asked]
    lengths = np.array([len(holdout.histories[user]) for user in holdout.asked.tolist()])
    low, high = _tertiles(seen[real])
    short, _ = _tertiles(lengths)
    chosen = {
        "target never seen in training": seen == 0,
        f"target seen up to {COLD} times": seen <= COLD,
        f"least popular third of targets: seen up to {low} times": seen <= low,
        f"middle third of targets: {low + 1} to {high} times": (seen > low) & (seen <= high),
        f"most popular third of targets: more than {high} times": seen > high,
        f"history of up to {COLD} items": (lengths <= COLD)[:, None],
        f"shortest third of histories: up to {short} items": (lengths <= short)[:, None],
    }
    absences = {f"target without {modality}": absent[table] for modality, absent in lacking.items()}
    chosen |= {name: absent for name, absent in absences.items() if not absent[real].all()}
    return {name: within & real for name, within in chosen.items()}


def _tertiles(values: np.ndarray) -> tuple[int, int]:
    low, high = np.quantile(values, [1 / 3, 2 / 3], method="inverted_cdf")
    return int(low), int(high)
