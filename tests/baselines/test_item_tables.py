"""Fitted baselines as arrays and back: the same scores, no more than item tables, and missing arrays are named."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.baselines import BASELINES, make_baseline
from recommender.baselines.item_tables import STORABLE, from_arrays, to_arrays
from recommender.errors import DataError
from tests.baselines.worlds import ITEMS, checkerboard, checkerboard_data


@pytest.mark.parametrize("name", STORABLE)
def test_a_baseline_comes_back_with_the_same_scores(name):
    baseline = make_baseline(name)
    baseline.fit(checkerboard_data())
    arrays = to_arrays(baseline)
    assert arrays and all(isinstance(array, np.ndarray) for array in arrays.values())
    np.testing.assert_array_equal(from_arrays(name, arrays).scores(checkerboard()), baseline.scores(checkerboard()))


def test_settings_of_the_name_come_back_too():
    name = "sequential-item-knn:window=3:decay=2"
    baseline = make_baseline(name)
    baseline.fit(checkerboard_data())
    back = from_arrays(name, to_arrays(baseline))
    np.testing.assert_array_equal(back.scores(checkerboard()), baseline.scores(checkerboard()))


@pytest.mark.parametrize("name", STORABLE)
def test_no_table_has_a_row_for_a_user(name):
    baseline = make_baseline(name)
    baseline.fit(checkerboard_data(checkerboard(users=97)))
    assert all(97 not in np.shape(array) for array in to_arrays(baseline).values())


def test_what_can_be_stored_says_so_itself():
    cheap = [name for name in BASELINES if not name.startswith(("sasrec", "gsasrec", "tiger", "two"))]
    assert [name for name in cheap if hasattr(make_baseline(name), "learned")] == list(STORABLE)


def test_what_holds_users_is_refused():
    baseline = make_baseline("user-knn")
    baseline.fit(checkerboard_data())
    with pytest.raises(DataError, match="user-knn cannot be kept in a checkpoint") as caught:
        to_arrays(baseline)
    assert "ease-decay" in caught.value.hint
    with pytest.raises(DataError, match="'user-knn' is no baseline that can be kept"):
        from_arrays("user-knn", {})


@pytest.mark.parametrize("name", ["popularity", "item-knn"])
def test_a_missing_array_is_named(name):
    baseline = make_baseline(name)
    baseline.fit(checkerboard_data())
    arrays = to_arrays(baseline)
    removed = next(iter(arrays)) if name == "popularity" else "_similar.data"
    with pytest.raises(DataError, match=f"{name}: the array .*{removed}.* is missing"):
        from_arrays(name, {part: array for part, array in arrays.items() if part != removed})


def test_the_catalogue_of_a_stored_baseline_is_that_of_its_fit():
    baseline = make_baseline("ease")
    baseline.fit(checkerboard_data())
    assert from_arrays("ease", to_arrays(baseline)).scores([np.array([0])]).shape == (1, ITEMS + 2)
