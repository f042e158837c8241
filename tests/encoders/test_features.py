"""The matrices that the encoders leave behind: saved as fitted, edited row by row, refused when damaged."""

from __future__ import annotations

import os

import numpy as np
import pytest

from recommender.encoders.features import Features
from recommender.encoders.pipeline import RawFeatures, fit_reductions, reduce
from recommender.encoders.reduction import Reduction
from recommender.errors import CheckpointError, ConfigError


def raw_of(rows: np.ndarray, present: np.ndarray | None = None) -> RawFeatures:
    present = np.ones(len(rows), bool) if present is None else present
    return RawFeatures(len(rows), {"text": rows}, {"text": present}, {"text": "an encoder"})


def test_what_is_saved_is_what_was_fitted(tmp_path):
    rows = np.random.default_rng(0).standard_normal((20, 12)).astype(np.float32) * 3 + 1
    rows[4] = 0
    raw = raw_of(rows, np.arange(20) != 4)
    features = reduce(raw, fit_reductions(raw, 5))
    features.save(tmp_path / "features.safetensors")
    loaded = Features.load(tmp_path / "features.safetensors")
    assert np.array_equal(loaded.vectors["text"], features.vectors["text"])
    assert not loaded.vectors["text"][4].any() and not loaded.present["text"][4]
    assert np.array_equal(reduce(raw, loaded.reductions).vectors["text"], features.vectors["text"])
    assert os.listdir(tmp_path) == ["features.safetensors"]


def test_the_same_features_give_the_same_bytes(tmp_path):
    raw = raw_of(np.random.default_rng(0).standard_normal((9, 6)).astype(np.float32))
    features = reduce(raw, fit_reductions(raw, 4))
    for number in range(8):
        features.save(tmp_path / f"{number}.safetensors")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_rows_are_taken_replaced_added_and_taken_away():
    vectors = {"text": np.ones((3, 2), np.float32), "image": np.ones((3, 2), np.float32)}
    features = Features(vectors, {m: np.ones(3, bool) for m in vectors}).without("image")
    assert features.take(np.array([2, 0])).vectors["text"].shape == (2, 2)
    changed = features.with_rows("image", np.array([1]), np.full((1, 2), 5.0))
    assert changed.present["image"].tolist() == [False, True, False]
    assert changed.vectors["image"][1].tolist() == [5, 5] and not features.vectors["image"].any()
    later = Features({"text": np.full((1, 2), 9.0, np.float32)}, {"text": np.ones(1, bool)})
    longer = changed.append(later)
    assert longer.vectors["text"][3].tolist() == [9, 9] and not longer.present["image"][3]
    with_more = features.with_modality("collaborative", np.array([[1.0], [0.0], [2.0]]))
    assert with_more.present["collaborative"].tolist() == [True, False, True]
    assert changed.swapped("image", 0, 1).present["image"].tolist() == [True, False, False]


@pytest.mark.parametrize("damage", ["empty", "cut", "other", "short"])
def test_a_damaged_file_of_features_is_one_clear_line(tmp_path, damage):
    path = tmp_path / "features.safetensors"
    Features({"text": np.ones((3, 2), np.float32)}, {"text": np.ones(3, bool)}).save(path)
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    elif damage == "other":
        from safetensors.numpy import save_file

        save_file({"weight": np.zeros(2)}, path)
    else:
        Features({"text": np.ones((3, 2), np.float32)}, {"text": np.ones(2, bool)}).save(path)
    with pytest.raises(CheckpointError) as error:
        Features.load(path)
    assert str(path) in error.value.message and "\n" not in error.value.message


def test_vectors_of_another_encoder_are_refused():
    raw = raw_of(np.eye(4, dtype=np.float32))
    reductions = {"text": Reduction.fit(raw.vectors["text"], 2, "another encoder")}
    with pytest.raises(ConfigError, match="encoders.text"):
        reduce(raw, reductions)


def test_vectors_of_a_large_catalogue_stay_in_their_file_and_are_the_same(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    vectors = {"text": random.standard_normal((30, 8)), "image": random.standard_normal((30, 6))}
    path = tmp_path / "features.safetensors"
    features = Features(vectors, {m: np.ones(30, bool) for m in vectors})
    features.save(path)
    whole = Features.load(path)
    monkeypatch.setattr("recommender.encoders.features.LARGE", 2 * 30 * 7)
    mapped = Features.load(path)
    assert isinstance(mapped.vectors["text"], np.memmap) and not isinstance(mapped.vectors["image"], np.memmap)
    assert not mapped.vectors["text"].flags.writeable  # else the system must be able to hold all of it in memory
    rows, one = np.array([7, 2]), np.ones((1, 8), np.float32)
    for m in vectors:
        assert mapped.table(m).dtype == np.float32 and np.array_equal(mapped.table(m), whole.vectors[m])
        assert np.array_equal(mapped.rows(m, rows), whole.vectors[m][rows])
        assert np.array_equal(mapped.take(rows).vectors[m], whole.take(rows).vectors[m])
        assert np.array_equal(mapped.rounded().vectors[m], whole.vectors[m])
    changed = [one_of.with_rows("text", np.array([3]), one).vectors["text"] for one_of in (mapped, whole)]
    assert np.array_equal(*changed) and np.array_equal(Features.load(path).table("text"), whole.vectors["text"])
    monkeypatch.setattr("recommender.encoders.features._PART", 7)
    damaged = Features({"text": np.where(np.arange(30)[:, None] == 29, np.nan, vectors["text"])}, {"text": np.ones(30)})
    damaged.save(path)
    with pytest.raises(CheckpointError, match="no table of finite numbers"):
        Features.load(path)


def test_what_is_imputed_is_saved_and_goes_along(tmp_path):
    vectors = {"text": np.ones((3, 2), np.float32), "image": np.zeros((3, 2), np.float32)}
    bare = Features(vectors, {"text": np.ones(3, bool), "image": np.zeros(3, bool)})
    features = bare.with_imputed("image", np.array([1]), np.full((1, 2), 4.0))
    features.save(tmp_path / "imputed.safetensors")
    bare.save(tmp_path / "bare.safetensors")
    loaded = Features.load(tmp_path / "imputed.safetensors")
    assert not Features.load(tmp_path / "bare.safetensors").imputed
    assert loaded.imputed["image"].tolist() == loaded.usable("image").tolist() == [False, True, False]
    assert loaded.vectors["image"][1].tolist() == [4, 4] and not loaded.present["image"].any()
    assert loaded.take(np.array([1, 0])).imputed["image"].tolist() == [True, False]
    assert loaded.append(Features({}, {})).imputed["image"].tolist() == [False, True, False]
    assert loaded.swapped("image", 0, 1).imputed["image"].tolist() == [True, False, False]
    assert loaded.content().usable("image").tolist() == [False, True, False]
    assert not loaded.without("image").imputed and loaded.without("text").imputed
    own = loaded.with_rows("image", np.array([1, 2]), np.ones((2, 2)))  # a picture in the place of an imputed one
    assert not own.imputed["image"].any() and own.present["image"].tolist() == [False, True, True]
