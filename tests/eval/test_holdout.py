from __future__ import annotations

import numpy as np

from recommender.eval.holdout import Holdout, HoldoutPart

HISTORIES = [np.array([0, 1]), np.array([1]), np.array([2, 1, 0]), np.array([], dtype=np.int64)]
TARGETS = np.array([[2, 3], [-1, -1], [3, -1], [0, -1]])


def test_one_fit_for_everybody_unless_parts_are_given():
    holdout = Holdout(HISTORIES, TARGETS, 5)
    assert [part.users.tolist() for part in holdout.parts] == [[0, 1, 2, 3]]
    assert holdout.test_users.tolist() == [0, 2, 3] and holdout.users_without_target == 1
    assert holdout.popularity().tolist() == [2, 3, 1, 0, 0]
    assert holdout.target_counts().tolist() == [[1, 0], [0, 0], [0, 0], [2, 0]]


def test_every_part_counts_what_its_own_fit_has_seen():
    parts = [HoldoutPart([HISTORIES[0]], np.array([2, 3])), HoldoutPart([HISTORIES[2], HISTORIES[0]], np.array([0]))]
    holdout = Holdout(HISTORIES, TARGETS, 5, explicit_parts=parts)
    assert holdout.test_users.tolist() == [0, 2, 3] and holdout.users_without_target == 0
    assert holdout.target_counts().tolist() == [[1, 0], [0, 0], [0, 0], [1, 0]]
    assert holdout.popularity().tolist() == [1.5, 1.5, 0.5, 0, 0]


def test_targets_may_be_one_a_user():
    assert Holdout(HISTORIES, np.array([2, -1, 3, 0]), 5).table.shape == (4, 1)


def test_a_sample_is_even_and_leaves_the_fits_alone():
    histories = [np.array([user % 3]) for user in range(11)]
    holdout = Holdout(histories, np.full(11, 4), 5)
    some = holdout.sampled(3)
    assert some.test_users.tolist() == [0, 5, 10] and some.users_without_target == 0
    assert some.popularity().tolist() == holdout.popularity().tolist()
    assert holdout.sampled(None) is holdout and holdout.sampled(11) is holdout
