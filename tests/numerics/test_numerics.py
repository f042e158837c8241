import numpy as np
import pytest
from sklearn.metrics import ndcg_score
from sklearn.preprocessing import normalize

from recommender.numerics.gains import discounted_gains, single_target_ndcg
from recommender.numerics.sampling import evenly
from recommender.numerics.vectors import unit_rows


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rows_have_unit_length_as_scikit_learn_has_them(dtype):
    table = np.random.default_rng(0).normal(size=(7, 5)).astype(dtype)
    table[3] = 0
    found = unit_rows(table)
    np.testing.assert_allclose(found, normalize(table.astype(np.float64)), atol=1e-3 if dtype == np.float16 else 1e-6)
    assert found.dtype == np.float32 and not found[3].any()


@pytest.mark.parametrize(("count", "most"), [(1, 1), (1, 5), (10, 1), (10, 3), (10, 10), (10, 99), (1_000_003, 1000)])
def test_an_even_sample_rises_from_the_first_to_the_last_without_repeats(count, most):
    found = evenly(count, most)
    assert len(found) == min(count, most) and found[0] == 0
    assert (np.diff(found) > 0).all()
    assert most == 1 or found[-1] == count - 1
    steps = np.diff(found)
    assert not len(steps) or steps.max() - steps.min() <= 1


def test_nothing_is_sampled_of_nothing():
    assert evenly(0, 5).tolist() == []


def test_the_gain_of_one_target_is_the_ndcg_of_scikit_learn():
    for place in range(1, 13):
        relevance, scores = np.zeros((1, 12)), -np.arange(12.0)[None]
        relevance[0, place - 1] = 1
        assert single_target_ndcg(np.array([place]), 10)[0] == pytest.approx(ndcg_score(relevance, scores, k=10))


def test_gains_fall_with_the_rank():
    assert discounted_gains(np.array([1, 3])).tolist() == [1.0, 0.5]
