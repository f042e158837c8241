import numpy as np
import pytest

from recommender.baselines.windows import START, epoch_batches, input_rows

HISTORIES = [np.arange(10, 10 + length) for length in (0, 1, 2, 7, 8, 9, 30)]


def batches(places=20, length=8, seed=0):
    return list(epoch_batches(HISTORIES, length, places, np.random.default_rng(seed)))


@pytest.mark.parametrize("places", [1, 20, 1000])
def test_every_item_of_every_history_is_a_target_once_an_epoch(places):
    found = {user: [] for user in range(len(HISTORIES))}
    for batch in batches(places):
        for user, row in zip(batch.users.tolist(), batch.targets, strict=True):
            found[user] += row[row >= 0].tolist()
    assert {user: sorted(items) for user, items in found.items()} == {
        user: history.tolist() for user, history in enumerate(HISTORIES)
    }


def test_a_place_reads_what_came_before_its_target_and_the_first_one_reads_start():
    for batch in batches():
        learnt = batch.targets >= 0
        assert (batch.inputs[:, 0] == START).all() and learnt[:, 0].all()
        # items are numbered in their order here, so the input of a place is its target less one
        np.testing.assert_array_equal(batch.inputs[:, 1:][learnt[:, 1:]], batch.targets[:, 1:][learnt[:, 1:]] - 1)
        assert (batch.inputs[~learnt] == START).all()


def test_batches_keep_to_their_size_and_windows_to_theirs():
    for batch in batches(places=20, length=8):
        assert batch.inputs.shape == batch.targets.shape and len(batch.users) == len(batch.inputs)
        assert batch.inputs.shape[1] <= 8 and batch.inputs.size <= 20


def test_epochs_differ_and_seeds_repeat():
    generator = np.random.default_rng(0)
    first, second = (list(epoch_batches(HISTORIES, 8, 20, generator)) for _ in range(2))
    again = batches(20, 8, seed=0)
    assert all(np.array_equal(one.targets, other.targets) for one, other in zip(first, again, strict=True))
    assert [batch.users.tolist() for batch in first] != [batch.users.tolist() for batch in second]


def test_inputs_hold_the_last_items_behind_start():
    table = input_rows([np.array([1, 2, 3, 4, 5]), np.array([6]), np.array([], dtype=np.int64)], length=4)
    np.testing.assert_array_equal(table, [[START, 3, 4, 5], [START, 6, START, START], [START] * 4])
