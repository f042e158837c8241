import numpy as np
import pytest

from recommender.training.private_transitions import (
    DECAY,
    WINDOW,
    attribute_directions,
    cleaned,
    transition_sums,
    with_noise,
)


def test_shares_are_those_of_hand():
    sums = transition_sums([np.array([0, 1, 2])], 4)
    norm = np.sqrt(1 + 1 + DECAY**2)
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 2] = 1 / norm
    expected[0, 2] = DECAY / norm
    assert np.allclose(sums, expected, atol=1e-6)


@pytest.mark.parametrize("length", [2, 3, WINDOW + 5, 200])
def test_one_user_moves_the_table_by_exactly_one(length):
    random = np.random.default_rng(length)
    others = [random.integers(0, 12, 8) for _ in range(5)]
    one = random.integers(0, 12, length)  # with repetitions: transitions that come twice are one number
    difference = transition_sums([*others, one], 12) - transition_sums(others, 12)
    assert np.linalg.norm(difference) == pytest.approx(1, abs=1e-5)


def test_who_had_one_item_or_none_moves_nothing():
    assert not transition_sums([np.array([3]), np.array([], dtype=np.int64)], 5).any()


def test_noise_has_the_deviation_that_was_asked_for_on_every_pair():
    told = with_noise(np.zeros((200, 200)), 0.7, np.random.default_rng(0))
    assert told.std() == pytest.approx(0.7, rel=0.02) and np.count_nonzero(told) == told.size


def test_directions_tell_items_of_unlike_attributes_apart():
    directions = attribute_directions([["Comedy", "1995"], ["Comedy", "1995"], ["Horror", "1960"], ["Horror", "1960"]])
    assert np.allclose(directions[0], directions[1], atol=1e-5) and not np.allclose(directions[0], directions[2])
    assert (directions[:, 0] == 1).all()


def test_items_without_attributes_have_a_constant_alone():
    assert attribute_directions([[], [], []]).tolist() == [[1], [1], [1]]


def test_cleaning_brings_a_noisy_table_nearer_to_the_true_one():
    random = np.random.default_rng(0)
    kinds = np.arange(120) % 4
    popularity = random.gamma(2.0, 0.5, 120)
    true = np.where(kinds[:, None] == kinds, 4.0, 0.2) * popularity[:, None] * popularity
    directions = attribute_directions([[f"kind {kind}"] for kind in kinds])
    for noise in (0.5, 3.0):
        noisy = with_noise(true, noise, random)
        found = cleaned(noisy, noise, directions)
        assert (found >= 0).all()
        assert np.linalg.norm(found - true) < 0.6 * np.linalg.norm(noisy - true)
