from __future__ import annotations

import numpy as np
import pytest

from recommender.eval.bootstrap import Bootstrap


def of_one(values, seed=0, samples=2000):
    """Mean, low and high of one column."""
    found = Bootstrap(np.asarray(values, dtype=float)[:, None, None], seed, samples).means()
    return float(found.mean[0, 0]), float(found.low[0, 0]), float(found.high[0, 0])


def test_interval_covers_a_known_mean_about_95_times_in_100():
    generator = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        _, low, high = of_one(generator.random(100) < 0.3, seed=trial, samples=400)
        covered += low <= 0.3 <= high
    assert 180 <= covered <= 199


def test_width_is_that_of_the_normal_approximation():
    values = np.random.default_rng(0).normal(5, 2, size=4000)
    mean, low, high = of_one(values)
    assert mean == pytest.approx(values.mean())
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(len(values)), rel=0.1)


def test_it_is_repeatable_by_seed():
    values = np.random.default_rng(0).random(50)
    assert of_one(values, seed=3) == of_one(values, seed=3)
    assert of_one(values, seed=3) != of_one(values, seed=4)


def test_pairing_sees_a_small_difference_that_intervals_of_each_hide():
    generator = np.random.default_rng(0)
    base = generator.normal(0, 1, 300)
    better = base + 0.05 + generator.normal(0, 0.05, 300)
    sampled = Bootstrap(np.stack([base, better], axis=1)[:, :, None])
    means, against = sampled.means(), sampled.differences(0)
    assert against.excludes_zero.tolist() == [[False], [True]] and against.low[1, 0] > 0
    assert means.low[1, 0] < means.high[0, 0]  # the two intervals overlap
    assert against.mean[0, 0] == against.low[0, 0] == against.high[0, 0] == 0


def test_differences_are_those_of_the_users_own_differences():
    values = np.random.default_rng(2).random((40, 2))
    against = Bootstrap(values[:, :, None], 7, 300).differences(0)
    alone = of_one(values[:, 1] - values[:, 0], 7, 300)
    np.testing.assert_allclose([against.mean[1, 0], against.low[1, 0], against.high[1, 0]], alone, atol=1e-12)


def test_a_metric_is_taken_over_the_users_for_whom_every_model_has_it():
    values = np.random.default_rng(3).random((60, 2, 2))
    holed = values.copy()
    holed[::3, 0, 1], holed[1::3, 1, 1] = np.nan, np.nan
    found, whole = Bootstrap(holed, 1, 400), Bootstrap(values, 1, 400)
    assert found.users.tolist() == [60, 20]
    np.testing.assert_allclose(found.means().mean[:, 1], values[2::3, :, 1].mean(axis=0))
    np.testing.assert_array_equal(found.means().low[:, 0], whole.means().low[:, 0])
    width = (found.means().high - found.means().low)[:, 1]
    assert (width > (whole.means().high - whole.means().low)[:, 1]).all()


def test_a_metric_that_nobody_has_is_nan():
    values = np.full((5, 1, 2), np.nan)
    values[:, :, 0] = 1
    found = Bootstrap(values, samples=50).means()
    assert found.mean.tolist()[0][0] == 1 and np.isnan([found.mean[0, 1], found.low[0, 1], found.high[0, 1]]).all()


def test_it_refuses_what_it_cannot_resample():
    with pytest.raises(ValueError, match="at least one user"):
        Bootstrap(np.ones((0, 1, 1)))
    with pytest.raises(ValueError, match="expected users, models and metrics"):
        Bootstrap(np.ones((3, 2)))
