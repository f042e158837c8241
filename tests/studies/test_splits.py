"""Holding out: what may be learnt, who is asked for what, and one clear line where nobody is left."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.config import DataConfig, TableConfig
from recommender.data.histories import Histories
from recommender.errors import DataError
from recommender.studies.splits import by_folds, by_table, by_time, last_item, split_by_name
from tests.conftest import ITEMS, write_csv


def histories_of(lists, times=None):
    arrays = tuple(np.array(own, dtype=np.int64) for own in lists)
    stamps = None if times is None else tuple(np.array(own, dtype=float) for own in times)
    return Histories(tuple(f"u{n}" for n in range(len(lists))), arrays, stamps)


def plain(arrays):
    return [array.tolist() for array in arrays]


def test_the_last_item_of_users_of_three_or_more():
    holdout = last_item(histories_of([[1, 2, 3], [4, 5], [6, 7, 8, 9]]), 10)
    assert plain(holdout.histories) == plain(holdout.parts[0].learn) == [[1, 2], [4, 5], [6, 7, 8]]
    assert holdout.targets.tolist() == [3, -1, 9] and holdout.name == "leave-one-out"


def test_a_split_by_time_learns_from_all_before_the_moment_and_asks_for_the_first_after_it():
    lists = [[0, 1, 2], [3, 4, 5, 6], [7], [8, 9]]
    holdout = by_time(histories_of(lists, [[1, 2, 3], [4, 5, 8, 9], [9], [6, 7]]), 10, share=0.3)
    assert holdout.details == {"moment": 8.0}
    assert plain(holdout.histories) == [[0, 1, 2], [3, 4], [], [8, 9]]
    assert plain(holdout.parts[0].learn) == [[0, 1, 2], [3, 4], [8, 9]]
    assert holdout.targets.tolist() == [-1, 5, -1, -1]  # user 2 comes later: no history to start from


timed = st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=8).map(sorted), min_size=2, max_size=8)


@settings(max_examples=40, deadline=None)
@given(timed, st.floats(0.05, 0.6))
def test_nothing_that_is_learnt_is_later_than_anything_that_is_asked_for(times, share):
    lists = [list(range(len(own))) for own in times]
    try:
        holdout = by_time(histories_of(lists, times), 10, share)
    except DataError:
        return
    moment = holdout.details["moment"]
    for user, known in enumerate(holdout.histories):
        assert all(time < moment for time in times[user][: len(known)])
        assert all(time >= moment for time in times[user][len(known) :])
        if holdout.targets[user] >= 0:
            assert len(known) > 0 and holdout.targets[user] == len(known)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=4, max_size=20), st.integers(2, 4), st.integers(0, 3))
def test_every_user_is_ranked_once_by_a_fit_that_has_not_seen_that_user(lengths, folds, seed):
    lists = [[100 * user + n for n in range(length)] for user, length in enumerate(lengths)]  # items tell their user
    if max(lengths) < 2:
        return
    holdout = by_folds(histories_of(lists), 10_000, folds, seed)
    assert sorted(np.concatenate([part.users for part in holdout.parts]).tolist()) == list(range(len(lists)))
    sizes = [len(part.users) for part in holdout.parts]
    assert len(sizes) == folds and max(sizes) - min(sizes) <= 1
    for part in holdout.parts:
        learnt = {int(item) // 100 for own in part.learn for item in own}
        assert learnt == set(range(len(lists))) - set(part.users.tolist())
    for user, own in enumerate(lists):
        expected = (own[:-1], own[-1]) if len(own) > 1 else (own, -1)
        assert (holdout.histories[user].tolist(), holdout.targets[user]) == expected


def test_folds_depend_on_the_seed_alone():
    histories = histories_of([[1, 2]] * 30)
    users = [[part.users.tolist() for part in by_folds(histories, 3, 3, seed).parts] for seed in (0, 0, 1)]
    assert users[0] == users[1] != users[2]


def test_targets_of_a_table(catalogue, tmp_path):
    write_csv(tmp_path / "t.csv", "user_id item_id", [("u1", 105), ("u0", 101), ("u1", 107), ("u1", 105)])
    holdout = by_table(str(tmp_path / "t.csv"), histories_of([[0], [1, 2], [3]]), catalogue)
    assert holdout.targets.tolist() == [[1, -1], [5, 7], [-1, -1]]
    assert holdout.items == ITEMS and holdout.test_users.tolist() == [0, 1]


OWN = {"user_id": "userID", "item_id": "movie"}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("userID;movie\nu1;105\nu0;101\n", TableConfig(columns=OWN)),
        ("userID;movie\nu1;105\nu0;101\n", TableConfig(columns=OWN, separator=";")),
        ("userID~movie\nu1~105\nu0~101\n", TableConfig(columns=OWN, separator="~")),
        ("user_id,item_id\nu1,105\nu0,101\n", TableConfig(columns=OWN, separator="~")),
        ("u1::105::5\nu0::101::4\n", TableConfig(header=("user_id", "item_id", "rating"))),
        ("user_id,item_id\nu1,105\nu0,101\n", TableConfig(header=("user_id", "item_id", "rating"))),
        ("userID\tmovie\nu1\t105\nu0\t101\n", TableConfig(columns=OWN, header=("userID", "movie"), encoding="latin-1")),
    ],
)
def test_targets_may_be_written_as_the_interactions_are_or_as_usual(catalogue, tmp_path, text, written):
    (tmp_path / "t.csv").write_text(text)
    data = DataConfig(interactions_table=written)
    holdout = by_table(str(tmp_path / "t.csv"), histories_of([[0], [1, 2], [3]]), catalogue, data)
    assert holdout.targets.tolist() == [[1], [5], [-1]]


def test_targets_with_errors_are_dropped_where_the_config_says_so(catalogue, tmp_path, caplog):
    (tmp_path / "t.csv").write_text("user_id,item_id\nu1,105\nnobody,101\nu0,999\n,101\nu0,\nu0,101,3\nu0,101\n")
    histories = histories_of([[0], [1, 2], [3]])
    with pytest.raises(DataError, match="t.csv, line 3: user_id: user 'nobody' has no history .*and 4 more"):
        by_table(str(tmp_path / "t.csv"), histories, catalogue)
    holdout = by_table(str(tmp_path / "t.csv"), histories, catalogue, DataConfig(on_error="drop"))
    assert holdout.targets.tolist() == [[1], [5], [-1]]
    assert any("left out 5 of 7 rows" in line and "2 unknown-user" in line for line in caplog.messages)
    assert len((tmp_path / "t.csv.dropped.jsonl").read_text().splitlines()) == 5


def test_a_table_of_targets_without_the_columns_says_what_is_missing(catalogue, tmp_path):
    (tmp_path / "t.csv").write_text("person,item_id\nu1,105\n")
    with pytest.raises(DataError, match=r"no column 'user_id' \(found: person, item_id\)") as caught:
        by_table(str(tmp_path / "t.csv"), histories_of([[0]]), catalogue)
    assert "data.columns.user_id" in caught.value.hint


def test_splits_are_named(catalogue):
    histories = histories_of([[0, 1, 2], [1, 2, 3], [2, 3, 4]], [[1, 2, 9], [1, 2, 3], [1, 2, 3]])
    assert split_by_name(histories, catalogue).name == "leave-one-out"
    assert split_by_name(histories, catalogue, "time").name == "time, from 90 % of the interactions on"
    assert split_by_name(histories, catalogue, "folds", folds=3).name == "3 folds over users"
    with pytest.raises(DataError, match="no split 'tiem'") as caught:
        split_by_name(histories, catalogue, "tiem")
    assert caught.value.hint == "did you mean time?"


@pytest.mark.parametrize(
    ("split", "lists", "times", "said"),
    [
        ("leave-one-out", [[1, 2], [3]], [[1, 2], [3]], "leave-one-out: no user has a target"),
        ("time", [[1, 2, 3], [4]], [[1, 2, 3], [9]], "from 90 % .* no user has a target"),
        ("folds", [[1], [2]], [[1], [2]], "2 folds over users: no user has a target"),
        ("folds", [[1, 2]], [[1, 2]], "folds is 2, expected 2 to 1"),
        ("time", [[1, 2, 3]], None, "time stamps"),
    ],
)
def test_a_split_that_leaves_nobody_to_test_says_what_it_needs(catalogue, split, lists, times, said):
    with pytest.raises(DataError, match=said) as caught:
        split_by_name(histories_of(lists, times), catalogue, split, folds=2)
    assert caught.value.hint


@pytest.mark.parametrize("folds", [1, 0, -3, 4])
def test_a_number_of_folds_that_is_none(catalogue, folds):
    with pytest.raises(DataError, match=f"folds is {folds}"):
        split_by_name(histories_of([[1, 2], [2, 3], [3, 4]]), catalogue, "folds", folds=folds)
