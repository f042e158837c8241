"""Tables: ids as texts, numbers and dates, the place of a row, hints for columns."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.data.tables import Problem, Table, canonical, fail_on_errors, parse_numbers, read_table
from recommender.errors import DataError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (50, "50"),
        (50.0, "50"),
        (np.int64(50), "50"),
        (np.float32(0.5), "0.5"),
        (" 50 ", "50"),
        ("007", "007"),
        (True, "True"),
        *((nothing, None) for nothing in (None, float("nan"), np.nan, pd.NA, pd.NaT, "", "  ")),
    ],
)
def test_plain_values_are_texts(value, text):
    assert canonical(value) == text


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=8))
def test_numbers_are_read_back(numbers):
    assert parse_numbers([repr(number) for number in numbers]).tolist() == numbers


@given(st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)))
def test_dates_are_seconds_since_1970(moment):
    expected = moment.replace(tzinfo=UTC).timestamp()
    assert parse_numbers([moment.isoformat()])[0] == pytest.approx(expected, abs=1e-5)


def test_the_rarer_of_numbers_and_dates_is_the_mistake():
    numbers = parse_numbers(["1", "2", "2020-01-01", "inf", "1_000", "x"])
    assert numbers[:2].tolist() == [1, 2] and np.isnan(numbers[2:]).all()
    dates = parse_numbers(["1970-01-01", "1970-01-02", "5"])
    assert dates[:2].tolist() == [0, 86_400] and math.isnan(dates[2])


COLUMNS = {
    "list": [1, "1", None, 1.0, " 2"],
    "strings": pa.chunked_array([["1", "1"], [None, "1", "2"]]),
    "floats": pa.chunked_array([pa.array([1.0, 1.0, None, 1.0, 2.0])]),
    "dictionary": pa.chunked_array([pa.array(["1", "1", None, "1", "2"]).dictionary_encode()]),
}


@pytest.mark.parametrize("column", COLUMNS)
def test_equal_ids_share_a_code_whatever_the_type_of_the_column(column):
    codes, texts = Table("t", COLUMNS, 5).factorize(column)
    assert (codes.tolist(), texts) == ([0, 0, -1, 0, 1], ["1", "2"])
    numbers = Table("t", COLUMNS, 5).numbers(column)
    assert numbers[[0, 1, 3, 4]].tolist() == [1, 1, 1, 2] and math.isnan(numbers[2])


def test_an_absent_column_has_no_values():
    assert Table("t", COLUMNS, 5).values("other") == [None] * 5
    assert Table("t", COLUMNS, 5).values("strings") == ["1", "1", None, "1", "2"]


def test_a_problem_names_file_row_and_field_as_a_person_counts():
    plain = Table("DataFrame", {"a": [1]}, 1)
    assert str(plain.problem(0, "a", "bad", "is odd")) == "DataFrame, row 1: a: is odd"
    file = Table("t.csv", {"a": [1]}, 1, unit="line", lines=lambda: [7])
    assert str(file.problem(0, "", "bad", "is odd")) == "t.csv, line 7: is odd"
    assert str(file.problem(None, "", "bad", "is odd")) == "t.csv: is odd"


@pytest.mark.parametrize(
    ("columns", "key", "hint"),
    [
        (["movieId", "title"], "item_id", "set data.columns.item_id to the right name, perhaps 'movieId'"),
        (["stars"], "rating", "set data.columns.rating to the right name, perhaps 'stars'"),
        (["itemid2"], "item_id", "set data.columns.item_id to the right name, perhaps 'itemid2'"),
        (["foo", "bar"], "user_id", "set data.columns.user_id to the right name"),
        (["a;b"], "user_id", "separate the fields of a CSV with commas"),
    ],
)
def test_a_missing_column_names_the_key_that_maps_it(columns, key, hint):
    problem = Table("t.csv", {name: [1] for name in columns}, 1).missing(key, key)
    assert (problem.kind, problem.hint) == ("missing-column", hint)
    assert problem.reason == f"no column {key!r} (found: {', '.join(columns)})"


def test_the_first_error_is_raised_with_the_number_of_others():
    warning = Problem("t.csv", 1, "a", "odd", "is odd", severity="warning")
    fail_on_errors([warning])
    error = Problem("t.csv", 2, "a", "bad", "is bad", hint="mend it")
    with pytest.raises(DataError) as caught:
        fail_on_errors([warning, error])
    assert (caught.value.message, caught.value.hint) == ("t.csv, row 2: a: is bad", "mend it")
    with pytest.raises(DataError, match=r"\(and 1 more problems\)") as caught:
        fail_on_errors([error, error])
    assert caught.value.hint == "mend it; `recommender validate` lists every problem"


def test_a_table_is_passed_on_and_other_things_are_refused():
    table = Table("t", {}, 0)
    assert read_table(table, "items") is table
    with pytest.raises(DataError, match="list: cannot be read as a table of targets"):
        read_table([1], "targets")
    with pytest.raises(DataError, match="a column name stands twice"):
        read_table(pd.DataFrame([[1, 2]], columns=["a", "a"]), "items")


def test_columns_of_mixed_types_are_read_from_a_frame():
    table = read_table(pd.DataFrame({"a": [1, "x", [2]]}), "items")
    assert table.values("a") == [1, "x", [2]] and table.rows == 3
