import numpy as np
import pytest

from recommender.training.synthetic_histories import draw_histories


def test_histories_follow_the_transitions_and_repeat_nothing():
    circle = np.roll(np.eye(30), 1, axis=1) * 10 + 0.01  # each item is followed by the next one
    drawn = draw_histories(circle, 700, 6, np.random.default_rng(0))  # in more than one part
    assert drawn.shape == (700, 6) and drawn.min() >= 0 and drawn.max() < 30
    assert all(len(set(history)) == 6 for history in drawn.tolist())
    assert ((drawn[:, 1] - drawn[:, 0]) % 30 == 1).mean() > 0.9


def test_histories_as_long_as_the_catalogue_hold_every_item():
    """Also those that nothing leads to."""
    drawn = draw_histories(np.zeros((7, 7)), 20, 7, np.random.default_rng(0))
    assert (np.sort(drawn, axis=1) == np.arange(7)).all()


def test_the_same_generator_draws_the_same():
    table = np.random.default_rng(1).gamma(1.0, size=(40, 40))
    one, two = (draw_histories(table, 10, 5, np.random.default_rng(3)) for _ in range(2))
    other = draw_histories(table, 10, 5, np.random.default_rng(4))
    assert np.array_equal(one, two) and not np.array_equal(one, other)


def test_items_that_are_had_more_often_begin_more_histories():
    table = np.ones((5, 5))
    table[:, 2] = 20
    drawn = draw_histories(table, 2000, 1, np.random.default_rng(0))
    counts = np.bincount(drawn[:, 0], minlength=5)
    assert counts.argmax() == 2 and counts[2] / 2000 == pytest.approx(124 / 240, abs=0.05)
