"""Collisions and the use of codes, against counts by hand."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.semantic_ids import SemanticIds
from recommender.semantic_ids.code_usage import code_usage
from tests.semantic_ids.vectors import random_vectors


def test_report_counts_collisions_like_brute_force():
    ids = SemanticIds.fit(random_vectors(80), 2, 6)
    groups = Counter(map(tuple, ids.codes[:, :-1].tolist()))
    report = ids.report()
    assert report.collision_rate == pytest.approx(sum(n for n in groups.values() if n > 1) / 80)
    assert report.largest_group == max(groups.values()) == ids.sizes[-1]
    shares = [n / 80 for n in Counter(ids.codes[:, 1].tolist()).values()]
    assert report.levels[1].used == len(shares)
    assert report.levels[1].perplexity == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)))
    assert [level.size for level in report.levels] == list(ids.sizes)


def test_codes_that_nobody_shares_do_not_collide():
    usage = code_usage(np.array([[0, 0], [1, 0], [3, 0]]), (4, 1))
    assert (usage.items, usage.collision_rate, usage.largest_group) == (3, 0, 1)
    assert [(level.size, level.used, level.share_used) for level in usage.levels] == [(4, 3, 0.75), (1, 1, 1)]
    assert usage.levels[0].perplexity == pytest.approx(3) and usage.levels[1].perplexity == pytest.approx(1)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=40))
def test_perplexity_lies_between_one_and_the_codes_in_use(column):
    level = code_usage(np.array(column)[:, None], (7,)).levels[0]
    assert 1 - 1e-9 <= level.perplexity <= level.used + 1e-9
    assert level.used == len(set(column))
