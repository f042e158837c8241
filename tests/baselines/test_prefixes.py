"""Every beginning of a history is a case: windows by brute force, each item once a target, lengths as data need them."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.baselines.prefixes import end_windows, prefix_batches, window_length
from tests.baselines.worlds import random_histories


def padded(history: list[int], length: int, cyclic: bool) -> list[int]:
    if cyclic and history:
        recent = history[-length:]
        return (recent * length)[-length:]
    return ([-1] * length + history)[-length:]


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("length", [2, 4, 10])
def test_windows_end_with_the_last_item(length, cyclic):
    histories = random_histories(0)
    expected = [padded(history.tolist(), length, cyclic) for history in histories]
    assert end_windows(histories, length, cyclic).tolist() == expected


@pytest.mark.parametrize("cyclic", [False, True])
def test_every_item_is_once_the_target_of_what_came_before_it(cyclic):
    histories, found = random_histories(1), []
    for batch in prefix_batches(histories, 4, 7, cyclic, np.random.default_rng(0)):
        assert batch.inputs.shape == (len(batch.users), 4) and batch.targets.shape == (len(batch.users), 1)
        assert len(batch.users) <= 7
        found += zip(batch.users.tolist(), batch.inputs.tolist(), batch.targets[:, 0].tolist(), strict=True)
    expected = [
        (user, padded(history[:place].tolist(), 4, cyclic), int(history[place]))
        for user, history in enumerate(histories)
        for place in range(len(history))
    ]
    assert sorted(found) == sorted(expected) and found != sorted(found)


def test_without_any_item_there_is_no_batch():
    assert list(prefix_batches([np.empty(0, np.int64)], 4, 7, True, np.random.default_rng(0))) == []
    assert end_windows([np.empty(0, np.int64)], 2).tolist() == [[-1, -1]]


@pytest.mark.parametrize(
    ("lengths", "most", "expected"),
    [([3] * 99 + [90], 50, 4), ([8] * 10, 50, 8), ([70] * 10, 50, 50), ([70] * 10, 49, 48), ([0, 0], 50, 2)],
)
def test_a_window_is_even_and_as_long_as_nearly_all_histories(lengths, most, expected):
    assert window_length([np.zeros(length, np.int64) for length in lengths], most) == expected
