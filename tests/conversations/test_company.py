"""Company: the nearest items that are kept are those of the whole table."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.conversations import signals
from recommender.conversations.company import Company

RANDOM = np.random.default_rng(0)
HISTORIES = [RANDOM.choice(40, 8, replace=False) for _ in range(200)]


@pytest.mark.parametrize("most", [5, 40, 100])
def test_the_nearest_of_the_whole_table_are_kept(most):
    table, kept = signals.company(HISTORIES, 40), Company.counted(HISTORIES, 40, most)
    rows = kept.rows(range(40))
    assert kept.others.shape == (40, min(most, 40)) and kept.others.dtype == np.uint16
    for row, whole in zip(rows, table, strict=True):
        there = row != 0
        assert np.allclose(row[there], whole[there], atol=1e-3)
        fewest = np.sort(whole)[::-1][min(most, 40) - 1]
        assert (whole[~there] <= fewest + 1e-6).all()


def test_nobody_has_no_company():
    assert Company.counted(HISTORIES, 40).rows([]).shape == (0, 40)
