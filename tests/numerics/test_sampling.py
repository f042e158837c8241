"""Even samples."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.numerics.sampling import evenly


@pytest.mark.parametrize(("count", "most"), [(1, 1), (1, 5), (10, 1), (10, 3), (10, 10), (10, 99), (1_000_003, 1000)])
def test_an_even_sample_rises_from_the_first_to_the_last_without_repeats(count, most):
    sample = evenly(count, most)
    assert len(sample) == min(count, most) and sample[0] == 0
    assert (np.diff(sample) > 0).all()
    assert most == 1 or sample[-1] == count - 1
    steps = np.diff(sample)
    assert not len(steps) or steps.max() - steps.min() <= 1


def test_nothing_is_sampled_of_nothing():
    assert evenly(0, 5).tolist() == []
