"""Order is exact, whatever type holds a time or a position; what cannot be in order is told with its row."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.data.cells import plain_text
from recommender.data.columns import from_series
from recommender.data.moments import NOT_A_TIME, read_moments

NANO = 1_600_000_000_000_000_000


def ranks(values):
    return read_moments(values if isinstance(values, pa.ChunkedArray | list) else from_series(values)).ranks.tolist()


def arrow(values, kind=None):
    return pa.chunked_array([pa.array(values, kind)])


@pytest.mark.parametrize(
    "column",
    [
        arrow([NANO + 2, NANO, NANO + 1]),
        arrow([2**64 - 1, 2**64 - 3, 2**64 - 2], pa.uint64()),
        arrow([str(NANO + 2), str(NANO), str(NANO + 1)]),
        arrow([str(10**30 + 2), str(10**30), str(10**30 + 1)]),
        [NANO + 2, str(NANO), Decimal(NANO + 1)],
        [10**400 + 2, 10**400, 10**400 + 1],
        arrow([Decimal("9007199254740993.2"), Decimal("9007199254740993.0"), Decimal("9007199254740993.1")]),
        arrow(["9007199254740993.2", "9007199254740993.0", "9007199254740993.1"]),
        arrow([NANO + 2, NANO, NANO + 1], pa.timestamp("ns")),
        arrow([NANO + 2, NANO, NANO + 1], pa.timestamp("ns", "Europe/Paris")),
        arrow([2, 0, 1], pa.duration("ns")),
        arrow([NANO + 2, NANO, NANO + 1], pa.duration("ns")),
        arrow([date(2020, 1, 3), date(2020, 1, 1), date(2020, 1, 2)]),
        arrow([date(9999, 1, 3), date(1, 1, 1), date(2020, 1, 2)]),
        arrow(["2020-01-01T00:00:00.000000002", "2020-01-01", "2020-01-01T00:00:00.000000001"]),
        arrow(["2020-W02-1", "2020-01-01", "2020-01-02"]),
        arrow(["9999-12-31", "0001-01-01", "2020-01-01"]),
        arrow(["2020-01-01T12:00+02:00", "2020-01-01T09:00Z", "2020-01-01 09:30:00"]),
        pd.Series(pd.PeriodIndex(["2020-03", "2020-01", "2020-02"], freq="M")),
        pd.Series(pd.PeriodIndex(["3000-03", "3000-01", "3000-02"], freq="M")),
        pd.Series([timedelta(3), timedelta(1), timedelta(2)]),
        pd.Series(
            [
                datetime(2020, 1, 3, tzinfo=UTC),
                pd.Timestamp("2020-01-01", tz="Asia/Tokyo"),
                datetime(2020, 1, 2, tzinfo=UTC),
            ]
        ),
        pd.Series([pd.Timestamp("2020-01-03"), np.datetime64("2020-01-01"), date(2020, 1, 2)], dtype=object),
        pd.Series([2.0, 0.0, 1.0], dtype="Float64"),
        arrow([0.3, 0.1, 0.2], pa.float32()),
        [b"3", b"1", b"2"],
        arrow(["2e1", "-.5", "+3"]),
    ],
)
def test_three_moments_in_their_order(column):
    found = read_moments(column if isinstance(column, pa.ChunkedArray | list) else from_series(column))
    assert (found.ranks.tolist(), found.reasons) == ([2, 0, 1], {})


def test_equal_moments_share_a_place():
    assert ranks([1, 1.0, "1", Decimal(1), 2]) == [0, 0, 0, 0, 1]
    assert ranks(["2020-01-01T01:00+01:00", "2020-01-01", datetime(2020, 1, 1)]) == [0, 0, 0]


@given(st.lists(st.integers(-(2**70), 2**70), max_size=8))
def test_integers_of_any_length_are_in_order(numbers):
    expected = [sorted(set(numbers)).index(number) for number in numbers]
    assert ranks(numbers) == ranks(arrow(list(map(str, numbers)), pa.string())) == expected


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=8))
def test_numbers_are_read_back(numbers):
    assert read_moments([repr(number) for number in numbers]).times.tolist() == numbers


@given(st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)))
def test_dates_are_seconds_since_1970(moment):
    expected = moment.replace(tzinfo=UTC).timestamp()
    for column in ([moment.isoformat()], [moment], arrow([moment])):
        assert read_moments(column).times[0] == pytest.approx(expected, abs=1e-5)


def test_the_rarer_of_numbers_and_dates_is_the_mistake_and_is_called_what_it_is():
    found = read_moments(["1", "2", "2021-01-01", "inf", "1_000", "x", None, "3"])
    assert found.ranks.tolist() == [0, 1, -1, -1, -1, -1, -1, 2]
    assert found.reasons[2] == "a date, where most of the column are numbers"
    assert [found.reasons[row] for row in (3, 4, 5)] == [NOT_A_TIME] * 3 and found.reasons[6] == ""
    dates = read_moments(["1970-01-01", "1970-01-02", "5"])
    assert dates.times[:2].tolist() == [0, 86_400] and math.isnan(dates.times[2])
    assert dates.reasons == {2: "a number, where most of the column are dates"}


@pytest.mark.parametrize(
    "value", [True, [1], {"a": 1}, 1j, "2021-02-30", "soon", "", " ", float("nan"), pd.NaT, Decimal("NaN"), b"\xe9"]
)
def test_what_is_no_moment_is_told_with_its_row(value):
    found = read_moments([1, value, 2])
    assert (found.ranks.tolist(), list(found.reasons)) == ([0, -1, 1], [1])
    assert np.isnan(found.times[1])


def test_floats_that_are_not_exact_are_doubted_with_their_rows():
    found = read_moments(arrow([1.0, 2.0**60, 2.0**60 + 256]))
    assert list(found.doubts) == [1, 2] and "not exact" in found.doubts[1]
    assert not read_moments(arrow([1.0, 2.0**52])).doubts


@pytest.mark.parametrize(
    ("times", "rows"),
    [
        (
            [1_600_000_000, 1_600_000_001_000, 1_600_000_002],
            {1: "looks like milliseconds, where most of the column are seconds"},
        ),
        (
            ["1600000000000", "1600000000001", "1600000000"],
            {2: "looks like seconds, where most of the column are milliseconds"},
        ),
        ([1_600_000_000, 0, 1_600_000_002], {1: "looks like no time since 1970, where most of the column are seconds"}),
        ([0, 1, 2, 1_600_000_000], {}),
        ([1_600_000_000, 1_600_000_001], {}),
    ],
)
def test_times_in_other_units_than_most_are_doubted(times, rows):
    assert read_moments(arrow(times)).doubts == rows


def test_times_that_floats_would_round_stay_integers():
    assert read_moments(arrow([NANO + 1, NANO])).times.tolist() == [NANO + 1, NANO]
    assert read_moments(arrow([1, None])).times.dtype == np.float64


def test_moments_of_any_year_have_an_order():
    days = ["2500000-01-01", "-0044-03-15", "1995-03-01", "1970-01-01T00:00:00.000000001"]
    column = [np.datetime64(day) for day in (*days, "2020", "2020-02")]
    moments = read_moments(column)
    assert moments.ranks.tolist() == [5, 0, 2, 1, 3, 4] and not moments.reasons
    assert moments.times[2] == pd.Timestamp("1995-03-01").timestamp()
    assert plain_text(column[0]) == "2500000-01-01" and plain_text(column[1]).endswith("44-03-15")


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        *((kind, form) for kind in (np.float32, np.float16) for form in ("object", "mixed", "arrow")),
        (np.float32, "category"),
    ],
)
def test_short_floats_are_doubted_in_columns_of_any_form(kind, form):
    values = [kind(4096 if kind is np.float16 else 2**25), kind(2), kind(1)]
    column = {
        "object": lambda: pd.Series(values, dtype=object),
        "mixed": lambda: pd.Series([*values[:2], "1"], dtype=object),
        "category": lambda: pd.Series(np.array(values)).astype("category"),
        "arrow": lambda: pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.array(np.array(values))]))),
    }
    moments = read_moments(from_series(column[form]()))
    assert moments.ranks.tolist() == [2, 1, 0] and [*moments.doubts] == [0]


@pytest.mark.parametrize("unit", ["W", "D", "h", "ms", "ns", "ps", "fs", "as", "generic"])
def test_durations_of_numpy_in_any_unit_have_an_order(unit):
    values = [np.timedelta64(n) if unit == "generic" else np.timedelta64(n, unit) for n in (2**62 + 2, 1, 2**62 + 1)]
    assert read_moments(values).ranks.tolist() == [2, 0, 1]


@pytest.mark.parametrize("unit", ["M", "Y"])
def test_durations_without_one_length_are_told(unit):
    assert "no one length" in read_moments([np.timedelta64(3, unit)]).reasons[0]


@pytest.mark.parametrize(
    "series",
    [
        pd.Series(pd.PeriodIndex(["2020-02", "2020-01"], freq="M")).astype("category"),
        pd.Series([np.datetime64("2020-02-01"), np.datetime64("2020", "Y")], dtype=object),
        pd.Series(pd.to_datetime(["2020-02-01", "2020-01-01"])).astype("category"),
        pd.Series(["2020-02-01", "2020-01-01"], dtype="string"),
        pd.Series([pd.Timestamp("2020-02-01"), date(2020, 1, 1)], dtype=object),
    ],
)
def test_dates_of_pandas_and_numpy_become_seconds_in_columns_of_any_form(series):
    assert read_moments(from_series(series)).times.tolist() == [1580515200, 1577836800]


@pytest.mark.parametrize(
    "series", [pd.Series([3, 1, None, 2], dtype="Int64"), pd.Series(["3", "1", None, "2"], dtype="string")]
)
def test_nullable_columns_of_pandas_tell_what_is_empty(series):
    moments = read_moments(from_series(series))
    assert moments.ranks.tolist() == [2, 0, -1, 1] and moments.reasons == {2: ""}


def test_odd_values_are_told_and_no_traceback():
    assert ranks([np.longdouble(2), np.longdouble(1)]) == [1, 0]
    assert ranks([timedelta.max, timedelta.min]) == [1, 0]
    assert "of the type tuple" in read_moments([([1],), 2]).reasons[0]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Fri Nov 09 18:33:29 -0800 2012", 1352514809),
        ("Wed Jan  4 10:00:00 2012", 1325671200),
        ("Wed Jan 04 10:00:00 UTC 2012", 1325671200),
    ],
)
def test_dates_as_programs_print_them_are_read(text, seconds):
    assert read_moments([text]).times.tolist() == [seconds]
