"""What a window holds, and how it is compared with the one before."""

from __future__ import annotations

import pytest

from recommender.numerics.drift import ItemBins, item_stability
from recommender.store.events import Event
from recommender.store.impressions import Impression
from recommender.store.watching import read_window, watched


def listed(store, name, user, items, time, score=-1.0):
    told = {"probabilities": (1.0,) * len(items), "scores": (score, *(-9.0 for _ in items[1:]))}
    store.impressions.add(user, Impression(request_id=name, items=tuple(items), time=time, **told))


@pytest.fixture
def lived(store):
    for day in range(7):
        listed(store, f"old-{day}", "ann", "ab", 100.0 + day, -1.0 - day)
    listed(store, "new-1", "ann", "ca", 1000.0)
    listed(store, "new-2", "bob", "cd", 1001.0)
    listed(store, "new-3", "eve", "zz", 1002.0)
    kinds = (("e1", "ann", "a", "like", 101.0), ("e2", "ann", "c", "buy", 1003.0), ("e3", "bob", "d", "hide", 1004.0))
    store.events.add([Event(id=i, user=u, item=item, kind=kind, time=when) for i, u, item, kind, when in kinds])
    store.consents.set("eve", {"recommend": False})
    return store


def test_a_window_counts_what_people_agree_to(lived):
    window = read_window(lived, 1000, 2000)
    assert (window.impressions, window.takes) == (2, 1)
    assert window.listed == {"c": 2, "a": 1, "d": 1} and window.taken == {"c": 1}
    assert sorted(window.lengths) == [1.0, 2.0] and window.scores == [-1.0, -1.0]
    assert read_window(lived, 1000, 1001).impressions == 1  # the end is outside
    assert read_window(lived, 1000, 2000, most=1).impressions == 0  # of the latest one, which is eve's


def test_it_is_compared_with_the_stretch_before(lived):
    seen = watched(lived, 1100.0, 150.0, items=10)
    assert (seen.impressions, seen.takes, seen.people, seen.coverage) == (2, 1, 2, 0.3)
    assert seen.listed_drift > 0.25 and seen.taken_drift > 1 and seen.score_drift > 0.25
    quiet = watched(lived, 5000.0, 100.0, items=None)
    assert (quiet.impressions, quiet.listed_drift, quiet.coverage) == (0, None, None)


def test_items_are_compared_with_what_the_model_learned_from(lived):
    trained = ItemBins.of({"a": 5, "b": 3, "c": 1, "d": 1})
    seen = watched(lived, 1100.0, 150.0, 10, trained)
    assert seen.listed_drift_from_training == item_stability({"a": 5, "b": 3, "c": 1, "d": 1}, {"c": 2, "a": 1, "d": 1})
    assert seen.taken_drift_from_training > 0.25
    assert watched(lived, 1100.0, 150.0, 10).listed_drift_from_training is None
    assert watched(lived, 5000.0, 100.0, 10, trained).taken_drift_from_training is None, "nothing was taken"
