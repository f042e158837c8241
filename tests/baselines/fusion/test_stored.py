"""The fusion in a checkpoint: it scores as the fitted one did, and a damaged file is one clear line."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from recommender.baselines import FitData, make_baseline
from recommender.baselines.fusion.stored import FUSION_FILE, LANGUAGE_MODEL, StoredFusion
from recommender.baselines.fusion.weights import FittedFusion, fit_fusion
from recommender.errors import CheckpointError, DataError
from tests.baselines.fusion.scorers import ITEMS, follows, walks

NAMES = ("sequential-item-knn:window=3", "popularity", "ease")


@pytest.fixture(scope="module")
def fitted() -> FittedFusion:
    baselines = {name: partial(make_baseline, name) for name in NAMES}
    return fit_fusion("runs/model", follows, baselines, FitData(walks(), ITEMS))


@pytest.fixture
def saved(fitted, tmp_path):
    fitted.stored().save(tmp_path / FUSION_FILE)
    return tmp_path / FUSION_FILE


def test_what_is_stored_scores_as_what_was_fitted(fitted, saved):
    loaded = StoredFusion.load(saved)
    histories = walks(7, length=4)
    np.testing.assert_allclose(loaded.scores(follows(histories), histories), fitted.scores(histories), rtol=1e-6)
    assert np.isneginf(loaded.scores(follows(histories), histories)[0, histories[0]]).all()


def test_weights_stand_under_names_that_do_not_depend_on_the_folder(fitted, saved):
    loaded = StoredFusion.load(saved)
    assert list(loaded.weights) == [LANGUAGE_MODEL, *NAMES]
    assert loaded.weights[LANGUAGE_MODEL] == fitted.weights["runs/model"]
    assert list(loaded.baselines) == list(NAMES) and loaded.baselines[NAMES[0]].window == 3


def test_no_user_is_in_the_file(saved):
    assert all(60 not in array.shape for array in load_file(saved).values())


def test_a_baseline_that_holds_users_is_not_stored(tmp_path):
    baseline = make_baseline("user-knn")
    baseline.fit(FitData(walks(), ITEMS))
    fusion = StoredFusion({"user-knn": baseline}, {LANGUAGE_MODEL: (1.0, 0.0), "user-knn": (1.0, 0.0)})
    with pytest.raises(DataError, match="user-knn cannot be kept in a checkpoint"):
        fusion.save(tmp_path / FUSION_FILE)
    assert not (tmp_path / FUSION_FILE).exists()


@pytest.mark.parametrize("content", [b"", b"not a table", b"\x00" * 64])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / FUSION_FILE).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{FUSION_FILE}: is damaged") as caught:
        StoredFusion.load(tmp_path / FUSION_FILE)
    assert caught.value.hint == "fuse the checkpoint again"


@pytest.mark.parametrize("metadata", [None, {"other": "1"}, {"weights": "no json"}, {"weights": '{"ease": [1]}'}])
def test_a_file_without_readable_weights_is_damaged(saved, metadata):
    save_file(load_file(saved), saved, metadata=metadata)
    with pytest.raises(CheckpointError, match="is damaged"):
        StoredFusion.load(saved)


def test_a_missing_table_is_named(saved):
    with safe_open(saved, framework="numpy") as file:
        metadata = file.metadata()
    arrays = {key: array for key, array in load_file(saved).items() if not key.startswith("ease/")}
    save_file(arrays, saved, metadata=metadata)
    with pytest.raises(DataError, match="ease: the array '_weights' is missing"):
        StoredFusion.load(saved)


def changed(saved, change):
    with safe_open(saved, framework="numpy") as file:
        metadata = file.metadata()
    arrays = {n: np.ascontiguousarray(array) for n, array in change(load_file(saved)).items()}
    save_file(arrays, saved, metadata=metadata)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a | {"ease/_weights": a["ease/_weights"] * np.nan},
        lambda a: a | {"ease/_weights": a["ease/_weights"].astype(bool)},
        lambda a: a | {"ease/_weights": a["ease/_weights"].astype(np.complex64)},
    ],
)
def test_tables_are_of_finite_numbers(saved, change):
    changed(saved, change)
    with pytest.raises(CheckpointError, match="is damaged"):
        StoredFusion.load(saved)


@pytest.mark.parametrize("metadata", [{"weights": '{"ease": [1, 2]}'}, {"weights": '{"language model": [NaN, 0]}'}])
def test_weights_are_finite_and_those_of_the_language_model_are_there(saved, metadata):
    save_file(load_file(saved), saved, metadata=metadata)
    with pytest.raises(CheckpointError, match="is damaged"):
        StoredFusion.load(saved)


def test_a_sparse_table_claims_no_more_columns_than_it_can_have(saved):
    shape = next(name for name in load_file(saved) if name.endswith(".shape"))
    changed(saved, lambda a: a | {shape: np.array([a[shape][0], 10**12])})
    with pytest.raises(DataError, match="1000000000000 columns"):
        StoredFusion.load(saved)


def test_tables_of_another_number_of_items_are_named(saved):
    StoredFusion.load(saved).check_fits(saved, ITEMS)
    with pytest.raises(CheckpointError, match=f"scores {ITEMS} items, the catalogue has {ITEMS + 1}"):
        StoredFusion.load(saved).check_fits(saved, ITEMS + 1)


@pytest.fixture
def gated(tmp_path):
    baselines = {name: partial(make_baseline, name) for name in NAMES[:2]}
    fusion = fit_fusion("runs/model", follows, baselines, FitData(walks(), ITEMS), gated=True)
    fusion.stored().save(tmp_path / "gated.safetensors")
    return fusion, tmp_path / "gated.safetensors"


def test_a_stored_gate_scores_as_the_fitted_one(gated):
    fusion, path = gated
    loaded, histories = StoredFusion.load(path), [*walks(7, length=4), *walks(3, length=20)]
    np.testing.assert_allclose(loaded.scores(follows(histories), histories), fusion.scores(histories), rtol=1e-6)
    assert list(loaded.gate.slopes) == [LANGUAGE_MODEL, *NAMES[:2]]
    np.testing.assert_array_equal(loaded.gate.counts, np.bincount(np.concatenate(walks()), minlength=ITEMS))


def test_a_fusion_without_a_gate_is_read_as_before(saved):
    assert StoredFusion.load(saved).gate is None


def test_a_gate_of_another_number_of_items_is_named(gated):
    loaded = StoredFusion.load(gated[1])
    other = replace(loaded, gate=loaded.gate.recounted(walks(), ITEMS + 1))
    with pytest.raises(CheckpointError, match=f"the gate counts {ITEMS + 1} items, the catalogue has {ITEMS}"):
        other.check_fits(gated[1], ITEMS)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("features", 3),
        ("features", [3]),
        ("mean", [0.0]),
        ("spread", [0.0, 1.0, 1.0, 1.0, 1.0]),
        ("mean", [float("inf")] * 5),
        ("slopes", {}),
        ("slopes", {name: [[0.0] * 5] for name in (LANGUAGE_MODEL, *NAMES[:2])}),
        ("slopes", {name: [[0.0] * 3] * 2 for name in (LANGUAGE_MODEL, *NAMES[:2])}),
    ],
)
def test_a_damaged_gate_is_named(gated, key, value):
    path = gated[1]
    change_gate(path, key, value)
    with pytest.raises(CheckpointError, match="is damaged"):
        StoredFusion.load(path)


def test_a_gate_of_a_version_with_other_features_is_left_out(gated, caplog):
    fusion, path = gated
    change_gate(path, "features", ["log length", "mean log count", "share of rare items", "agreement"])
    loaded = StoredFusion.load(path)
    assert loaded.gate is None and loaded.weights == fusion.stored().weights
    assert f"{path}: its gate reads other features" in caplog.text and "recommender fuse --gate" in caplog.text


def change_gate(path, key, value):
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    metadata["gate"] = json.dumps(json.loads(metadata["gate"]) | {key: value})
    save_file(load_file(path), path, metadata=metadata)


def test_a_gate_without_counts_is_damaged(gated):
    path = gated[1]
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    arrays = {key: array for key, array in load_file(path).items() if key != "gate/counts"}
    save_file(arrays, path, metadata=metadata)
    with pytest.raises(CheckpointError, match="is damaged"):
        StoredFusion.load(path)
