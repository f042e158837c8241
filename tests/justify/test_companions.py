"""What many people had together: counted by hand, kept above a floor, saved as counts alone."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from safetensors.numpy import save_file

from recommender.errors import CheckpointError
from recommender.justify import companions as companions_module
from recommender.justify.companions import (
    COMPANIONS,
    FEWEST,
    LEAST_LIFT,
    MANY,
    MOST,
    Companions,
    count_companions,
)


def histories_of(*groups: tuple[int, list[int]]) -> list[np.ndarray]:
    """Return as many equal histories as each group says."""
    return [np.array(items) for people, items in groups for _ in range(people)]


def by_hand(histories, items):
    """Count in the plainest way: (item, other) -> people, of the pairs that are to be kept."""
    sets = [set(history.tolist()) for history in histories]
    had = [sum(item in one for one in sets) for item in range(items)]
    kept = {}
    for pair in combinations(range(items), 2):
        both = sum(set(pair) <= one for one in sets)
        for item, other in (pair, pair[::-1]):
            lift = both * len(sets) / max(had[item] * had[other], 1)
            if both >= FEWEST and lift >= LEAST_LIFT and both >= MANY * had[other]:
                kept[item, other] = both
    return kept


def as_pairs(companions):
    return {
        (item, other): count
        for item in range(len(companions))
        for other, count in companions.among(item, range(len(companions)))
    }


@pytest.mark.parametrize("seed", range(4))
def test_counts_are_those_by_hand(seed):
    random = np.random.default_rng(seed)
    popular = random.dirichlet(np.full(30, 0.3))
    histories = [random.choice(30, size=int(random.integers(1, 12)), p=popular) for _ in range(150)]
    expected = by_hand(histories, 30)
    assert expected and as_pairs(count_companions(histories, 30)) == expected


def test_a_pair_of_few_people_is_not_kept():
    """A floor of privacy: what fewer than `FEWEST` people had together could tell of one of them."""
    others = (20, [2])
    assert not as_pairs(count_companions(histories_of((FEWEST - 1, [0, 1]), others), 3))
    assert as_pairs(count_companions(histories_of((FEWEST, [0, 1]), others), 3)) == {(0, 1): FEWEST, (1, 0): FEWEST}


def test_what_everybody_has_is_nobodys_companion():
    histories = histories_of((10, [0, 1]), (10, [0, 2]))
    assert not as_pairs(count_companions(histories, 3))


def test_few_of_those_who_had_a_popular_item_are_not_many():
    histories = histories_of((6, [0, 1]), (60, [0]), (60, [2]))
    kept = as_pairs(count_companions(histories, 3))
    assert (0, 1) in kept and (1, 0) not in kept  # six of six had 0, six of sixty-six had 1


def test_a_person_counts_once_for_an_item():
    histories = [np.array([0, 1, 0, 1, 1])] * FEWEST + [np.array([2])] * 20
    assert as_pairs(count_companions(histories, 3)) == {(0, 1): FEWEST, (1, 0): FEWEST}


def test_only_the_best_are_kept_and_the_table_is_small():
    whole = list(range(MOST + 20))
    counted = count_companions(histories_of((FEWEST, whole), (1, whole[:2]), (30, [MOST + 20])), MOST + 21)
    assert counted.others.shape == (MOST + 21, MOST) and counted.others.dtype == counted.counts.dtype == np.int16
    assert counted.among(0, [1, 2]) == ((1, FEWEST + 1), (2, FEWEST)) and not counted.among(MOST + 20, whole)


def test_many_items_need_wider_numbers():
    counted = count_companions(histories_of((FEWEST, [0, 40_000]), (9, [1])), 40_001)
    assert counted.others.dtype == np.int32 and counted.among(0, [40_000]) == ((40_000, FEWEST),)


@pytest.mark.parametrize("histories", [[], [np.array([], dtype=np.int64)], [np.array([0, 1])]])
def test_without_people_there_are_none(histories, tmp_path):
    counted = count_companions(histories, 3)
    assert not as_pairs(counted)
    counted.save(tmp_path / COMPANIONS)
    assert not as_pairs(Companions.load(tmp_path, 3))


@pytest.mark.parametrize("liked", [False, True])
def test_what_is_saved_is_read_again(liked, tmp_path):
    counted = count_companions(histories_of((FEWEST, [0, 1]), (FEWEST + 2, [1, 2]), (20, [3])), 4, liked)
    counted.save(tmp_path / COMPANIONS)
    again = Companions.load(tmp_path, 4)
    assert as_pairs(again) == as_pairs(counted) and again.liked is liked
    assert Companions.load(tmp_path / "elsewhere", 4) is None


def test_the_file_holds_counts_and_no_person(tmp_path):
    from safetensors import safe_open

    count_companions(histories_of((9, [0, 1]), (20, [2])), 3).save(tmp_path / COMPANIONS)
    with safe_open(tmp_path / COMPANIONS, framework="numpy") as file:
        assert sorted(file.keys()) == ["counts", "others"] and set(file.metadata()) == {"liked"}


def _written(folder, others, counts, metadata=None):
    save_file({"others": others, "counts": counts}, folder / COMPANIONS, metadata or {"liked": "0"})


ONE, FIVE = np.full((3, 1), 1, np.int16), np.full((3, 1), 5, np.int16)


@pytest.mark.parametrize(
    "arrays",
    [
        (ONE, FIVE[:2]),
        (ONE[:2], FIVE[:2]),
        (ONE, FIVE.astype(np.float32)),
        (ONE + 9, FIVE),
        (ONE - 9, FIVE),
        (ONE, FIVE - 1),
        (ONE[:, 0], FIVE[:, 0]),
    ],
    ids=["two shapes", "other items", "no numbers", "unknown item", "negative item", "below the floor", "no table"],
)
def test_a_file_that_does_not_fit_is_named(arrays, tmp_path):
    _written(tmp_path, *map(np.ascontiguousarray, arrays))
    with pytest.raises(CheckpointError, match=COMPANIONS):
        Companions.load(tmp_path, 3)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / COMPANIONS).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="damaged"):
        Companions.load(tmp_path, 3)
    _written(tmp_path, ONE, FIVE, {"other": "1"})
    with pytest.raises(CheckpointError, match="damaged"):
        Companions.load(tmp_path, 3)


def test_new_items_have_none_and_known_ones_move():
    counted = count_companions(histories_of((6, [0, 1]), (7, [1, 2]), (20, [3])), 4)
    moved = counted.reordered(np.array([4, 2, 1, 0, 3, 5]))
    assert as_pairs(moved) == {(3, 2): 6, (2, 3): 6, (2, 1): 7, (1, 2): 7}
    assert as_pairs(counted.reordered(np.arange(4))) == as_pairs(counted)


def test_parts_of_any_size_count_the_same(monkeypatch):
    random = np.random.default_rng(5)
    histories = [random.choice(30, 6, replace=False) // (1 + user % 2) for user in range(120)]
    whole = count_companions(histories, 30)
    monkeypatch.setattr(companions_module, "_ROWS", 4)
    parts = count_companions(histories, 30)
    np.testing.assert_array_equal(parts.others, whole.others)
    np.testing.assert_array_equal(parts.counts, whole.counts)
