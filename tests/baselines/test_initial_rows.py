import numpy as np
import pytest
import torch

from recommender.baselines.initial_rows import initial_rows

GENERATOR = np.random.default_rng(0)
TEXT, TOGETHER = (GENERATOR.standard_normal((20, width)).astype(np.float32) for width in (6, 4))


def cosines(rows):
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("width", [10, 16])
def test_items_stand_to_each_other_as_in_the_vectors_each_kind_weighing_the_same(width):
    rows = initial_rows([TEXT, 50 * TOGETHER], width).numpy()
    assert rows.shape == (20, width)
    np.testing.assert_allclose(cosines(rows), (cosines(TEXT) + cosines(TOGETHER)) / 2, atol=1e-5)
    np.testing.assert_allclose((rows**2).mean(axis=1), 1, rtol=1e-5)


def test_in_a_narrow_space_those_that_are_alike_stay_alike():
    centres = np.repeat(np.eye(2, 6, dtype=np.float32), 10, axis=0)
    rows = initial_rows([centres + 0.01 * TEXT], 2).numpy()
    similar = cosines(rows)
    assert similar[:10, :10].min() > 0.9 and similar[:10, 10:].max() < 0.1


def test_fewer_items_than_coordinates_are_no_trouble():
    assert initial_rows([TEXT[:3]], 32).shape == (3, 32)


def test_an_item_without_vectors_starts_at_random_and_elsewhere_than_another():
    text, together = TEXT.copy(), TOGETHER.copy()
    text[[4, 7]], together[[4, 7, 9]] = 0, 0
    rows = initial_rows([text, together], 16).numpy()
    assert np.isfinite(rows).all() and (np.abs(rows).max(axis=1) > 0).all()
    assert not np.allclose(rows[4], rows[7])
    # the ninth has its text still
    np.testing.assert_allclose(cosines(rows)[9, 0], cosines(TEXT)[9, 0] / 2**0.5, atol=1e-5)
