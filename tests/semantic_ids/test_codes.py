"""The ids of a catalogue: made, extended by later items, saved and loaded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from recommender.config import SemanticIdsConfig
from recommender.errors import CheckpointError, ConfigError, DataError
from recommender.semantic_ids import SemanticIds, join_modalities
from tests.semantic_ids.vectors import features, random_vectors


def test_atomic_ids_are_the_indices():
    ids = SemanticIds.atomic(4)
    assert ids.codes.tolist() == [[0], [1], [2], [3]]
    assert (ids.sizes, ids.levels, ids.items) == ((4,), 1, 4)
    report = ids.report()
    assert (report.collision_rate, report.largest_group) == (0, 1)
    assert report.levels[0].perplexity == pytest.approx(4)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 60), st.integers(1, 3), st.integers(2, 16), st.integers(0, 5))
def test_codes_are_unique_in_range_and_the_same_again(items, levels, size, seed):
    # Every third vector is a copy of the first, so that collisions cannot be avoided.
    vectors = random_vectors(items, seed=seed)
    vectors[::3] = vectors[0]
    ids = SemanticIds.fit(vectors, levels, size, seed)
    assert ids.codes.shape == (items, levels + 1)
    assert len(set(map(tuple, ids.codes.tolist()))) == items
    assert ((ids.codes >= 0) & (ids.codes < np.array(ids.sizes))).all()
    assert max(ids.sizes[:-1]) <= size
    again = SemanticIds.fit(vectors, levels, size, seed)
    np.testing.assert_array_equal(ids.codes, again.codes)


def test_similar_items_share_their_first_code():
    centres = np.repeat(np.eye(3, 6, dtype=np.float32) * 10, 20, axis=0)
    ids = SemanticIds.fit(centres + 0.1 * random_vectors(60), 2, 3)
    first = ids.codes[:, 0].reshape(3, 20)
    assert (first == first[:, :1]).all()
    assert len(set(first[:, 0])) == 3


def test_collision_digits_follow_the_index():
    ids = SemanticIds.fit(np.zeros((4, 3), dtype=np.float32), 2, 8)
    assert ids.codes.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 3]]
    assert ids.sizes == (1, 1, 4)


def test_too_many_collisions_say_what_to_change():
    with pytest.raises(ConfigError, match="share their 1 k-means codes") as caught:
        SemanticIds.fit(random_vectors(50), 1, 4, collision_limit=0.5)
    assert "codebook_size (now 4)" in caught.value.hint
    assert "levels (now 1)" in caught.value.hint


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 40), st.integers(0, 40), st.integers(0, 3))
def test_new_items_leave_the_others_alone(items, new, seed):
    old = SemanticIds.fit(random_vectors(items, seed=seed), 2, 4, seed)
    grown = old.with_new_items(random_vectors(new, seed=seed + 100))
    np.testing.assert_array_equal(grown.codes[:items], old.codes)
    assert grown.items == items + new
    assert len(set(map(tuple, grown.codes.tolist()))) == items + new
    assert grown.sizes[:-1] == old.sizes[:-1]
    assert grown.sizes[-1] == max(old.sizes[-1], grown.codes[:, -1].max() + 1)


def test_a_new_item_like_an_old_one_gets_its_codes_and_the_next_digit():
    vectors = random_vectors(30)
    old = SemanticIds.fit(vectors, 2, 5)
    grown = old.with_new_items(vectors[7:8])
    assert grown.codes[-1, :-1].tolist() == old.codes[7, :-1].tolist()
    group = (old.codes[:, :-1] == old.codes[7, :-1]).all(axis=1).sum()
    assert grown.codes[-1, -1] == group


def test_new_atomic_items_take_the_next_codes():
    grown = SemanticIds.atomic(3).with_new_items(random_vectors(2))
    assert grown.codes[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert grown.sizes == (5,)


def test_wrong_vectors_are_refused():
    ids = SemanticIds.fit(random_vectors(10), 1, 4)
    with pytest.raises(DataError, match=r"\[1, 9\], expected \[items, 6\]"):
        ids.with_new_items(random_vectors(1, 9))
    broken = random_vectors(10)
    broken[3, 1] = np.nan
    with pytest.raises(DataError, match="item 3"):
        SemanticIds.fit(broken, 1, 4)


@pytest.mark.parametrize("ids", [SemanticIds.atomic(7), SemanticIds.fit(random_vectors(40), 2, 6)])
def test_save_and_load(tmp_path, ids):
    ids.save(tmp_path / "ids.safetensors")
    loaded = SemanticIds.load(tmp_path / "ids.safetensors")
    np.testing.assert_array_equal(loaded.codes, ids.codes)
    assert loaded.sizes == ids.sizes
    new = random_vectors(3, seed=9)
    np.testing.assert_array_equal(loaded.with_new_items(new).codes, ids.with_new_items(new).codes)
    assert [path.name for path in tmp_path.iterdir()] == ["ids.safetensors"]


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "ids.safetensors"
    with pytest.raises(CheckpointError, match="no readable semantic ids"):
        SemanticIds.load(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match="no readable semantic ids"):
        SemanticIds.load(path)
    save_file({"codes": np.array([[1], [1]]), "sizes": np.array([2])}, path)
    with pytest.raises(CheckpointError, match="shared by two items"):
        SemanticIds.load(path)
    save_file({"codes": np.array([[1, 0]]), "sizes": np.array([2, 2])}, path)
    with pytest.raises(CheckpointError, match="do not fit"):
        SemanticIds.load(path)
    save_file({"weights": np.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="no codes and no sizes"):
        SemanticIds.load(path)


def test_build_follows_the_configuration():
    made = features(40)
    assert SemanticIds.build(SemanticIdsConfig(), made, 40).sizes == (40,)
    config = SemanticIdsConfig(levels=2, codebook_size=8, fusion="average", collision_limit=1)
    expected = SemanticIds.fit(join_modalities(made, "average"), 2, 8, seed=3)
    np.testing.assert_array_equal(SemanticIds.build(config, made, 40, seed=3).codes, expected.codes)
