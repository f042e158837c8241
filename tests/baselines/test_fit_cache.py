"""A cache of fits: the same data is learnt from once, and other data is never taken for it."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.baselines import FitData, ItemContent
from recommender.baselines.fit_cache import FitCache
from recommender.baselines.neighbours import Popularity

HISTORIES = [np.array([0, 1]), np.array([2])]


@pytest.fixture
def fits(monkeypatch) -> list[int]:
    """Count the fits of popularity."""
    counted: list[int] = []
    fit = Popularity.fit
    monkeypatch.setattr(Popularity, "fit", lambda self, data: counted.append(1) or fit(self, data))
    return counted


def test_the_same_histories_and_seed_are_fitted_once(fits):
    cache = FitCache(["popularity"])
    first = cache.fit("popularity", FitData(HISTORIES, 3))
    again = cache.fit("popularity", FitData([history.copy() for history in HISTORIES], 3))
    assert again is first and len(fits) == 1 and again.fit_seconds > 0


@pytest.mark.parametrize(
    "other",
    [
        FitData([np.array([0, 1]), np.array([1])], 3),
        FitData([np.array([0]), np.array([1, 2])], 3),  # the same items, cut elsewhere
        FitData([np.array([0, 1, 2])], 3),
        FitData(HISTORIES, 4),
        FitData(HISTORIES, 3, seed=1),
    ],
)
def test_other_data_is_fitted_anew(fits, other):
    cache = FitCache(["popularity"])
    cache.fit("popularity", FitData(HISTORIES, 3))
    cache.fit("popularity", other)
    assert len(fits) == 2


def test_a_baseline_that_was_not_named_is_not_kept(fits):
    cache = FitCache([])
    first, second = (cache.fit("popularity", FitData(HISTORIES, 3)) for _ in range(2))
    assert first is not second and len(fits) == 2


def test_what_it_makes_is_fitted_through_it(fits):
    cache = FitCache(["popularity"])
    cache.fit("popularity", FitData(HISTORIES, 3))
    baseline = cache.make("popularity")
    baseline.fit(FitData(HISTORIES, 3))
    assert len(fits) == 1 and baseline.name == "popularity"
    assert baseline.scores([np.array([0])]).tolist() == [[1, 1, 1]]


def test_other_content_is_learnt_from_anew(fits):
    one, other = ItemContent(["a", "b", "c"], dict), ItemContent(["a", "b", "d"], dict)
    cache = FitCache(["popularity"])
    first = cache.fit("popularity", FitData(HISTORIES, 3, one))
    assert cache.fit("popularity", FitData(HISTORIES, 3, other)) is not first
    assert cache.fit("popularity", FitData(HISTORIES, 3, one)) is first and len(fits) == 2
