from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.config import ColumnsConfig
from recommender.data.catalogue import Catalogue, Item
from recommender.data.histories import Histories, leave_one_out, time_split
from recommender.data.tables import say_once
from recommender.errors import DataError

CATALOGUE = Catalogue([Item(name, f"Title {name}") for name in ["10", "20", "30", "40", "007"]])


def csv(tmp_path, text, name="interactions.csv"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def plain(histories):
    return {user: items.tolist() for user, items in zip(histories.user_ids, histories.items, strict=True)}


def refused(source, *words, hint="", **options):
    with pytest.raises(DataError) as caught:
        Histories.load(source, CATALOGUE, **options)
    for word in words:
        assert word in caught.value.message
    assert hint in (caught.value.hint or "")


def test_histories_are_in_order_of_time_and_ties_in_file_order(tmp_path):
    text = "user_id,item_id,timestamp\nu2,10,5\nu1,30,9\nu2,007,1\nu1,20,2\nu2,20,5\nu1,40,2\n"
    histories = Histories.load(csv(tmp_path, text), CATALOGUE)
    assert plain(histories) == {"u2": [4, 0, 1], "u1": [1, 3, 2]}
    assert list(histories.user_ids) == ["u2", "u1"]
    assert [times.tolist() for times in histories.times] == [[1, 5, 5], [2, 2, 9]]


def test_positions_order_but_tell_no_time(tmp_path):
    text = "user_id,item_id,position\nu,10,10\nu,20,9\nu,30,100\n"
    histories = Histories.load(csv(tmp_path, text), CATALOGUE)
    assert plain(histories) == {"u": [1, 0, 2]}  # as numbers, not as texts
    assert histories.times is None


@pytest.mark.parametrize(
    "times",
    [
        ["2020-01-02", "2020-01-01", "2020-01-03"],
        ["2020-01-01T10:00:00Z", "2020-01-01T10:30:00+02:00", "2020-01-01T11:00:00Z"],
        [2.5, 1e3 - 999, 881250949],
        pd.to_datetime(["2020-01-02", "2020-01-01", "2020-01-03"]),
        pd.to_datetime(["2020-01-02", "2020-01-01", "2020-01-03"]).tz_localize("CET"),
    ],
)
def test_times_may_be_dates_or_numbers(tmp_path, times):
    frame = pd.DataFrame({"user_id": ["u"] * 3, "item_id": [10, 20, 30], "timestamp": times})
    frame.to_parquet(tmp_path / "i.parquet")
    frame.to_csv(tmp_path / "i.csv", index=False)
    loaded = [Histories.load(source, CATALOGUE) for source in (frame, tmp_path / "i.parquet", tmp_path / "i.csv")]
    assert [plain(histories) for histories in loaded] == [{"u": [1, 0, 2]}] * 3
    assert all(np.array_equal(histories.times[0], loaded[0].times[0]) for histories in loaded)


def test_dates_are_seconds_since_1970():
    frame = pd.DataFrame({"user_id": ["u"], "item_id": [10], "timestamp": ["1970-01-02"]})
    assert Histories.load(frame, CATALOGUE).times[0].tolist() == [86_400.0]


def test_user_ids_are_texts(tmp_path):
    rows = [{"user_id": 1.0, "item_id": 10, "position": 0}, {"user_id": "01", "item_id": "007", "position": 0}]
    (tmp_path / "interactions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert plain(Histories.load(tmp_path, CATALOGUE)) == {"1": [0], "01": [4]}


def test_lower_ratings_are_dropped_and_counted(tmp_path):
    text = "user_id,item_id,timestamp,rating\nu,10,1,5\nu,10,2,4\nu,20,3,1\nv,20,1,2\n"
    path = csv(tmp_path, text)
    report = Histories.load(path, CATALOGUE).report
    assert (report.interactions, report.users, report.repeated, report.dropped) == (4, 2, 1, 0)
    histories = Histories.load(path, CATALOGUE, minimum_rating=4)
    assert plain(histories) == {"u": [0, 0]}
    report = histories.report
    assert (report.interactions, report.users, report.repeated, report.dropped, report.dropped_users) == (2, 1, 1, 2, 1)
    refused(path, "no rating reaches 6", minimum_rating=6)


def test_rows_that_cannot_be_used_are_named(tmp_path):
    head = "user_id,item_id,timestamp\nu,10,1\n"
    refused(csv(tmp_path, head + "u,11,2\n"), "interactions.csv, line 3", "'11'", hint="'10' (Title 10)")
    refused(csv(tmp_path, head + ",10,2\n"), "line 3", "user_id", "empty")
    refused(csv(tmp_path, head + "u,,2\n"), "line 3", "item_id", "empty")
    refused(csv(tmp_path, head + "u,10,\n"), "line 3", "timestamp", "empty")
    refused(csv(tmp_path, head + "u,10,yesterday\n"), "line 3", "'yesterday'")
    refused(csv(tmp_path, head + "u,10,2020-01-01\n"), "line 3", "'2020-01-01'")
    refused(csv(tmp_path, head + "u,10,nan\n"), "line 3", "'nan'")
    refused(csv(tmp_path, head + "u,10,inf\nu,10\n"), "line 3", "more problems", hint="recommender validate")
    frame = pd.DataFrame({"user_id": ["u", "u"], "item_id": [10, 20], "timestamp": [1.0, np.nan]})
    refused(frame, "DataFrame, row 2", "timestamp")


def test_missing_columns_are_named(tmp_path):
    refused(
        csv(tmp_path, "userId,item_id,timestamp\nu,10,1\n"),
        "'user_id'",
        hint="data.columns.user_id to the right name, perhaps 'userId'",
    )
    refused(csv(tmp_path, "user_id,item_id,Date\nu,10,1\n"), "'position'", "'timestamp'", hint="perhaps 'Date'")
    refused(csv(tmp_path, "user_id,item_id,position\nu,10,0\n"), "'rating'", minimum_rating=3)
    columns = ColumnsConfig(user_id="a", item_id="b", timestamp="c")
    assert plain(Histories.load(csv(tmp_path, "a,b,c\nu,10,1\n"), CATALOGUE, columns)) == {"u": [0]}


def histories_of(lists, times=None):
    arrays = tuple(np.array(items, dtype=np.int64) for items in lists)
    clocks = None if times is None else tuple(np.array(time, dtype=np.float64) for time in times)
    return Histories(tuple(f"u{user}" for user in range(len(lists))), arrays, clocks)


def test_validation_on_some_users_leaves_the_last_known_item_of_the_others_in_train():
    lists = [[1, 2, 3, 4], [5, 6], [1, 2, 3], [4, 5, 6, 7], [2, 4, 6]]
    split = leave_one_out(histories_of(lists), validate_on=2)
    assert [items.tolist() for items in split.train.items] == [[1, 2], [5, 6], [1, 2], [4, 5, 6], [2]]
    assert split.validation.tolist() == [3, -1, -1, -1, 4] and split.test.tolist() == [4, -1, 3, 7, 6]
    assert [items.tolist() for items in split.history_for("test")] == [[1, 2, 3], [5, 6], [1, 2], [4, 5, 6], [2, 4]]
    whole = leave_one_out(histories_of(lists), validate_on=100)
    assert whole.validation.tolist() == leave_one_out(histories_of(lists)).validation.tolist()


@given(st.lists(st.lists(st.integers(0, 9), max_size=8), min_size=1, max_size=6), st.integers(3, 5))
def test_leave_one_out_cuts_every_history_into_train_validation_test(lists, minimum):
    split = leave_one_out(histories_of(lists), minimum)
    known = {part: split.history_for(part) for part in ("validation", "test")}
    for user, items in enumerate(lists):
        train, held = split.train.items[user].tolist(), [split.validation[user], split.test[user]]
        if len(items) < minimum:
            assert (train, held) == (items, [-1, -1])
        else:
            assert [*train, *held] == items
            assert known["validation"][user].tolist() == items[:-2]
            assert known["test"][user].tolist() == items[:-1]


timed = st.lists(st.lists(st.integers(0, 20), max_size=8).map(sorted), min_size=1, max_size=6).filter(any)


@given(timed, st.floats(0.05, 0.4), st.floats(0.05, 0.4))
def test_a_time_split_learns_from_nothing_later(times, validation, test):
    lists = [list(range(len(time))) for time in times]
    split = time_split(histories_of(lists, times), validation, test)
    ends = [len(items) for items in split.train.items]
    learnt = [time[:end] for time, end in zip(times, ends, strict=True)]
    latest = max((t for time in learnt for t in time), default=-1)
    found = {"validation": [], "test": []}
    for user, items in enumerate(lists):
        assert split.train.items[user].tolist() == items[: ends[user]]
        after = ends[user]
        for part, target in (("validation", split.validation[user]), ("test", split.test[user])):
            if target < 0:
                continue
            assert ends[user] > 0
            place = items.index(target, after)
            assert times[user][place] > latest
            found[part].append(times[user][place])
            after = place + 1
        if split.validation[user] >= 0:  # the first interaction after the moment
            assert split.validation[user] == items[ends[user]]
    assert all(v <= t for v in found["validation"] for t in found["test"])


def test_a_time_split_by_hand():
    split = time_split(
        histories_of([[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]], [[0, 1, 2, 9], [3, 6, 8], [6, 8, 9]]), 0.2, 0.3
    )
    assert [items.tolist() for items in split.train.items] == [[0, 1, 2], [4], []]
    assert split.validation.tolist() == [-1, 5, -1]
    assert split.test.tolist() == [3, 6, -1]
    assert [items.tolist() for items in split.history_for("test")] == [[0, 1, 2], [4, 5], []]


def test_splits_refuse_what_they_cannot_do():
    with pytest.raises(DataError, match="time stamps"):
        time_split(histories_of([[1, 2, 3]]))
    with pytest.raises(ValueError, match="shares"):
        time_split(histories_of([[1]], [[1]]), 0.5, 0.5)
    with pytest.raises(ValueError, match="at least 3"):
        leave_one_out(histories_of([[1, 2, 3]]), 2)


@pytest.mark.assets
def test_the_embedded_ratings():
    report = Histories.load("movielens-100k", Catalogue.load("movielens-100k")).report
    assert (report.interactions, report.users) == (100_000, 943)


@pytest.mark.parametrize(
    "times",
    [
        np.array([2**64 - 9 + place for place in range(8)], dtype=np.uint64),
        [f"2020-01-01T00:00:00.00000000{place}" for place in range(8)],
        [f"{2**60}.00{place}" for place in range(1, 9)],
    ],
)
def test_a_time_split_is_exact_where_floats_are_not(times):
    frame = pd.DataFrame({"user_id": ["u", "v"] * 4, "item_id": ["10", "20", "30", "40"] * 2, "timestamp": times})
    split = time_split(Histories.load(frame, CATALOGUE), 0.25, 0.25)
    assert [items.tolist() for items in split.train.items] == [[0, 2], [1, 3]]
    assert split.validation.tolist() == [0, 1] and split.test.tolist() == [2, 3]
    assert [ranks.tolist() for ranks in split.train.ranks] == [[0, 2], [1, 3]]


@pytest.mark.parametrize(("kind", "first"), [("float32", 1_600_000_000), ("float16", 4096)])
def test_times_of_short_floats_are_doubted(kind, first, caplog):
    say_once.cache_clear()
    times = np.array([first, first + 1], dtype=kind)
    frame = pd.DataFrame({"user_id": ["u", "u"], "item_id": ["10", "20"], "timestamp": times})
    Histories.load(frame, CATALOGUE)
    assert "a float this large is not exact" in caplog.text


@pytest.mark.parametrize(
    ("ratings", "minimum", "liked"),
    [
        ((1, 2, 5, 4), 4, True),
        ((1, 2, 5, 4), 3.5, False),
        ((1, 2, 5, 4), None, False),
        ((0.5, 3, 10, 8), 8, True),
        ((0.5, 3, 10, 8), 4, False),
        ((20, 100, 55, 80), 80, True),
        ((0, 1, 1, 1), 1, False),  # clicks
        ((1, 1, 1, 1), 1, False),
        ((-10, -3, 7, 9), 9, False),
    ],
)
def test_only_high_ratings_mean_that_people_liked_what_they_had(tmp_path, ratings, minimum, liked):
    rows = "".join(f"u,10,{time},{rating}\n" for time, rating in enumerate(ratings))
    path = csv(tmp_path, f"user_id,item_id,timestamp,rating\n{rows}")
    histories = Histories.load(path, CATALOGUE, minimum_rating=minimum)
    assert histories.report.liked is liked and leave_one_out(histories).train.report.liked is liked


@pytest.mark.parametrize("name", ["NULL", "nan", "None", "\\N", "#N/A", "undefined"])
def test_a_user_who_may_be_nobody_is_warned_of(tmp_path, caplog, name):
    say_once.cache_clear()
    (tmp_path / "t.csv").write_text(f"user_id,item_id,timestamp\nu,a,1\n{name},a,2\n{name},b,3\n")
    histories = Histories.load(tmp_path / "t.csv", Catalogue([Item("a", "A"), Item("b", "B")]))
    assert histories.user_ids == ("u", name)
    assert "line 3" in caplog.text and "one person with 2 interactions" in caplog.text
