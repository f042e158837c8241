"""Reduction of vectors to few components: what it keeps, what it scales, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.adapters.shipped import shipped_checkpoints
from recommender.encoders import reduction
from recommender.encoders.features import Features
from recommender.encoders.pipeline import RawFeatures, fit_reductions, reduce
from recommender.encoders.reduction import LONGEST, Reduction, bounded
from recommender.errors import ConfigError


def mean_square(rows: np.ndarray) -> float:
    return float((rows**2).sum(axis=1).mean())


def test_reduction_keeps_the_relative_variance_and_scales_the_whole():
    random = np.random.default_rng(0)
    deviations = np.array([9.0, 3.0, 1.0, 0.3, 0.1])
    rows = (random.standard_normal((400, 5)) * deviations + 7).astype(np.float32)
    reduced = Reduction.fit(rows, 3).apply(rows)
    assert mean_square(reduced) == pytest.approx(3, rel=1e-3)
    spread = reduced.std(axis=0)
    assert spread[0] / spread[1] == pytest.approx(3, rel=0.15)
    assert spread[1] / spread[2] == pytest.approx(3, rel=0.15)
    assert np.abs(reduced.mean(axis=0)).max() < 1e-3


def test_all_components_keep_the_distances_up_to_one_factor():
    rows = np.random.default_rng(1).standard_normal((50, 8)).astype(np.float32)
    reduced = Reduction.fit(rows, 8).apply(rows)
    before, after = (np.linalg.norm(r[:, None] - r[None], axis=-1)[~np.eye(50, dtype=bool)] for r in (rows, reduced))
    np.testing.assert_allclose(after / before, np.mean(after / before), rtol=5e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 16), st.integers(0, 5))
def test_reduction_of_any_shape_is_finite_padded_and_repeatable(rows, raw, width, seed):
    table = np.random.default_rng(seed).standard_normal((rows, raw)).astype(np.float32)
    first, second = Reduction.fit(table, width), Reduction.fit(table.copy(), width)
    reduced = first.apply(table)
    assert reduced.shape == (rows, width) and reduced.dtype == np.float32 and np.isfinite(reduced).all()
    assert np.array_equal(reduced, second.apply(table))
    assert not reduced[:, min(rows - 1, raw) :].any()
    if rows > 1:
        assert mean_square(reduced) == pytest.approx(width, rel=1e-3)


def test_turned_data_give_the_same_signs():
    rows = np.random.default_rng(2).standard_normal((30, 4)).astype(np.float32)
    shuffled = rows[np.random.default_rng(3).permutation(30)]
    np.testing.assert_allclose(Reduction.fit(rows, 4).components, Reduction.fit(shuffled, 4).components, atol=1e-3)


def test_reduction_refuses_another_width():
    reduction = Reduction.fit(np.eye(4, dtype=np.float32), 2)
    with pytest.raises(ConfigError, match="expected 4 columns"):
        reduction.apply(np.zeros((1, 5), np.float32))


def test_what_is_far_longer_than_the_rest_is_cut_and_all_else_stays_to_the_bit():
    random = np.random.default_rng(0)
    vectors = random.standard_normal((50, 16)).astype(np.float32)
    vectors[7] *= 100
    vectors[9] = 0
    cut = bounded(vectors)
    norms = np.linalg.norm(cut, axis=1)
    assert cut.dtype == np.float32 and norms.max() == pytest.approx(LONGEST * 4, rel=1e-6) == norms[7]
    np.testing.assert_allclose(cut[7] / norms[7], vectors[7] / np.linalg.norm(vectors[7]), rtol=1e-5)
    others = np.arange(50) != 7
    assert (cut[others] == vectors[others]).all()


@pytest.mark.parametrize("name", ["movielens-100k", "movielens-1m"])
def test_no_vector_of_a_shipped_adapter_is_cut(name):
    features = Features.load(shipped_checkpoints()[name] / "features.safetensors")
    assert all((bounded(vectors) == vectors).all() for vectors in features.vectors.values())


def test_one_picture_that_most_items_share_makes_the_others_no_giants():
    random = np.random.default_rng(0)
    pictures = np.repeat(random.standard_normal((1, 32)), 5000, 0).astype(np.float32)
    pictures[:5] = random.standard_normal((5, 32))
    raw = RawFeatures(5000, {"image": pictures}, {"image": np.ones(5000, bool)}, {"image": "an encoder"})
    reductions = fit_reductions(raw, 4)
    assert np.linalg.norm(reductions["image"].apply(pictures), axis=1).max() > 50
    assert np.linalg.norm(reduce(raw, reductions).vectors["image"], axis=1).max() < LONGEST * 2 + 0.01


def test_many_rows_are_fitted_in_parts_as_all_at_once(monkeypatch):
    rows = (np.random.default_rng(2).standard_normal((100, 6)) * [9, 5, 3, 2, 1, 0.5] + 4).astype(np.float32)
    whole = Reduction.fit(rows, 4)
    monkeypatch.setattr(reduction, "WHOLE_UP_TO", 10)
    monkeypatch.setattr(reduction, "_PART", 17)
    parts = Reduction.fit(rows, 4)
    np.testing.assert_array_equal(parts.mean, whole.mean)
    np.testing.assert_allclose(parts.components, whole.components, atol=1e-3)
    assert parts.scale == pytest.approx(whole.scale, rel=1e-4)
