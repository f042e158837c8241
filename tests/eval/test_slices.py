from __future__ import annotations

import numpy as np

from recommender.eval.holdout import Holdout, HoldoutPart
from recommender.eval.slices import target_slices


def holdout_of(seen, targets, lengths):
    """Items that a fit has seen so often, targets, and histories of these lengths."""
    learn = [np.repeat(np.arange(len(seen)), seen)]
    histories = [np.zeros(length, dtype=np.int64) for length in lengths]
    users = np.arange(len(histories))
    return Holdout(histories, np.array(targets), len(seen), explicit_parts=[HoldoutPart(learn, users)])


def chosen(slices, start):
    """The users of the only slice whose name starts so."""
    (name,) = [name for name in slices if name.startswith(start)]
    return np.flatnonzero(slices[name].any(axis=1)).tolist()


def test_cold_items_and_thirds_go_by_what_training_has_seen():
    slices = target_slices(holdout_of([0, 1, 5, 6, 40, 90], [0, 1, 2, 3, 4, 5], [9] * 6), {})
    assert chosen(slices, "target never seen") == [0]
    assert chosen(slices, "target seen 1 to 5 times") == [1, 2]
    assert chosen(slices, "target seen 6 to 20 times") == [3]
    assert chosen(slices, "target seen more than 20 times") == [4, 5]
    assert chosen(slices, "least popular third of targets: seen up to 1 times") == [0, 1]
    assert chosen(slices, "middle third of targets: 2 to 6 times") == [2, 3]
    assert chosen(slices, "most popular third of targets: more than 6 times") == [4, 5]


def test_thirds_are_disjoint_and_hold_everybody_whatever_the_ties():
    for seed in range(20):
        generator = np.random.default_rng(seed)
        seen = generator.integers(0, 4, size=8)
        slices = target_slices(holdout_of(seen, generator.integers(0, 8, size=12), [3] * 12), {})
        thirds = sum(mask.astype(int) for name, mask in slices.items() if "third of targets" in name)
        assert (thirds == 1).all()


def test_cold_users_and_the_shortest_third():
    slices = target_slices(holdout_of([1], [0] * 6, [20, 5, 6, 30, 1, 40]), {})
    assert chosen(slices, "history of up to 5 items") == [1, 4]
    assert chosen(slices, "shortest third of histories: up to 5 items") == [1, 4]


def test_items_without_media():
    lacking = {"image": np.array([True, False, False]), "sound": np.array([False] * 3), "text": np.array([True] * 3)}
    slices = target_slices(holdout_of([1, 1, 1], [0, 1, 0], [2, 2, 2]), lacking)
    assert chosen(slices, "target without image") == [0, 2] and chosen(slices, "target without sound") == []
    assert "target without text" not in slices


def test_a_slice_holds_single_targets_and_never_padding_or_users_who_are_not_test_users():
    holdout = holdout_of([0, 9, 9], [[0, 1], [2, -1], [-1, -1]], [7, 7, 7])
    slices = target_slices(holdout, {"image": np.array([False, False, True])})
    assert slices["target never seen in training"].tolist() == [[True, False], [False, False]]
    assert slices["target without image"].tolist() == [[False, False], [True, False]]


def test_a_model_that_learned_from_fewer_people_is_cold_to_more_items():
    holdout = holdout_of([0, 1, 5, 6, 40, 90], [[0, 1], [2, -1], [3, -1], [4, -1], [5, -1]], [9] * 5)
    slices = target_slices(holdout, {}, np.array([0, 0, 1, 5, 6, 21]))
    assert chosen(slices, "target never seen") == [0]
    assert slices["target never seen in training"][0].tolist() == [True, True]
    assert chosen(slices, "target seen 1 to 5 times") == [1, 2]
    assert chosen(slices, "target seen 6 to 20 times") == [3]
    assert chosen(slices, "target seen more than 20 times") == [4]
