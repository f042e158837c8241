"""Unit length."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import normalize

from recommender.numerics.vectors import unit_rows


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rows_have_unit_length_as_scikit_learn_has_them(dtype):
    table = np.random.default_rng(0).normal(size=(7, 5)).astype(dtype)
    table[3] = 0
    rows = unit_rows(table)
    np.testing.assert_allclose(rows, normalize(table.astype(np.float64)), atol=1e-3 if dtype == np.float16 else 1e-6)
    assert rows.dtype == np.float32 and not rows[3].any()
