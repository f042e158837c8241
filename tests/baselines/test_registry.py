"""Every registered baseline keeps the interface; names with settings are read, and wrong ones are named."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from recommender.baselines import BASELINES, Baseline, is_baseline, make_baseline
from recommender.errors import DataError
from tests.baselines.worlds import ITEMS, checkerboard, checkerboard_data

QUICK = {"tiger": "tiger:epochs=1:width=16:layers=1:codebook=4:beam=30", "als": "als:factors=4", "svd": "svd:factors=4"}
"""Settings that keep a baseline within a second."""

NEEDS = {"als": "implicit", "bpr": "implicit", "vbpr": "cornac", "tiger": "cornac"}
"""Libraries of the extra `eval`."""

HISTORIES = [np.array([0, 2]), np.array([], dtype=np.int64), np.array([19])]


@pytest.fixture(scope="module", params=BASELINES)
def fitted(request) -> Baseline:
    if library := NEEDS.get(request.param):
        pytest.importorskip(library)
    baseline = make_baseline(QUICK.get(request.param, request.param))
    baseline.fit(checkerboard_data())
    return baseline


def test_the_name_of_a_baseline_is_its_key():
    assert all(make().name == name for name, make in BASELINES.items())


def test_every_item_of_the_catalogue_is_scored_for_any_history(fitted):
    scores = fitted.scores(HISTORIES)
    assert scores.shape == (3, ITEMS + 2) and scores.dtype == np.float32
    assert not np.isnan(scores).any() and (scores < np.inf).all()


def test_scores_do_not_depend_on_who_is_asked_beside(fitted):
    alone = np.concatenate([fitted.scores([history]) for history in HISTORIES])
    np.testing.assert_allclose(fitted.scores(HISTORIES), alone, rtol=1e-4, atol=1e-4)


def test_histories_are_left_as_they_were(fitted):
    histories = [history.copy() for history in HISTORIES]
    fitted.scores(histories)
    for history, before in zip(histories, HISTORIES, strict=True):
        np.testing.assert_array_equal(history, before)


@pytest.mark.parametrize("name", ["popularity", "item-knn", "sequential-item-knn", "ease", "ease-decay", "user-knn"])
def test_items_nobody_has_seen_score_no_better_than_the_best_seen_one(name):
    baseline = make_baseline(name)
    baseline.fit(checkerboard_data())
    scores = baseline.scores(checkerboard()[:2])
    assert (scores[:, ITEMS:] <= scores[:, :ITEMS].max(axis=1, keepdims=True)).all()


def test_heavy_libraries_wait_until_a_baseline_is_asked_for():
    code = "import sys; from recommender.baselines import BASELINES; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "sklearn", "implicit", "cornac"} & set(loaded)


# --- names and settings


def test_a_baseline_takes_settings_in_its_name():
    baseline = make_baseline("sequential-item-knn:window=10:decay=3")
    assert (baseline.window, baseline.decay) == (10, 3)
    assert make_baseline("ease-decay:decay=null").decay is None
    assert (make_baseline("ease-decay").decay, make_baseline("ease-decay").name) == (8.0, "ease-decay")


def test_settings_of_one_baseline_are_not_those_of_the_next():
    make_baseline("sequential-item-knn:window=3")
    assert make_baseline("sequential-item-knn").window == 20


def test_a_switch_is_true_or_false():
    assert make_baseline("sasrec:vectors=true").vectors is True
    with pytest.raises(DataError, match="'vectors=1' is not true or false") as caught:
        make_baseline("sasrec:vectors=1")
    assert caught.value.hint == "as it is: vectors=false"


@pytest.mark.parametrize(
    ("text", "expected"), [("ease", True), ("ease:decay=3", True), ("runs/ease", False), ("", False), ("easy", False)]
)
def test_a_name_tells_a_baseline_from_a_folder(text, expected):
    assert is_baseline(text) is expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("easy", "ease"),
        ("ease:decline=3", "regularisation, decay"),
        ("ease:decay=soon", "a number"),
        ("ease:decay=NaN", "a number"),
        ("ease:decay=1e999", "a number"),
        ("ease:decay=" + "[" * 50_000, "a number"),
        ("ease:decay", "a number"),
        ("sequential-item-knn:window=2.5", "a whole number"),
        ("sequential-item-knn:window=true", "a whole number"),
        ("popularity:window=3", "none at all"),
        ("ease:_weights=3", "has no setting '_weights'"),
    ],
)
def test_wrong_settings_are_refused(text, told):
    with pytest.raises(DataError) as caught:
        make_baseline(text)
    assert told in f"{caught.value.message} {caught.value.hint}"
