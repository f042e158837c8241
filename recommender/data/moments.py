"""Times and positions, in exact order: what came first is never decided by a rounded float."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recommender.data.cells import plain_text
from recommender.data.formats import Column
from recommender.data.ids import is_missing
from recommender.errors import DataError

NOT_A_TIME = "neither a number nor an ISO date"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_INTEGER = r"^-?[0-9]{1,19}$"
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_ATTOSECONDS = {
    "W": 604_800 * 10**18,
    "D": 86_400 * 10**18,
    "h": 3600 * 10**18,
    "m": 60 * 10**18,
    "s": 10**18,
    "ms": 10**15,
    "us": 10**12,
    "ns": 10**9,
    "ps": 10**6,
    "fs": 10**3,
    "as": 1,
}
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_PRINTED = re.compile(
    rf"(?:[A-Z][a-z]{{2}} )?({'|'.join(_MONTHS)}) +(\d{{1,2}}) (\d\d:\d\d:\d\d)(?: ([+-]\d{{4}}|UTC|GMT))? (\d{{4}})",
    re.ASCII,
)
_EXACT = 2**53
_EXACT_FLOATS: dict[type, int] = {np.float16: 2**11, np.float32: 2**24}
_UNITS = ("no time since 1970", "seconds", "milliseconds", "microseconds", "nanoseconds")
_UNIT_EDGES = (1e8, 1e11, 1e14, 1e17)  # of times since 1970 that are counted in these units: 1973 to 5138
_Key: TypeAlias = tuple[bool, Any]  # whether it is a date; a number, or the date's nanoseconds since 1970 (UTC)


@dataclass(frozen=True)
class Moments:
    """What a column says of order, row by row.

    ranks: int64 [rows], the place among the column's distinct values, earliest 0; -1 where the cell is unusable.
    times: [rows], the numbers themselves, dates as seconds since 1970 (UTC); float64 with NaN where unusable, or int64
    where a float would not hold them all.
    reasons: row -> why it is unusable, "" if it is empty. doubts: row -> why its place may be wrong.
    """

    ranks: np.ndarray
    times: np.ndarray
    reasons: Mapping[int, str] = field(default_factory=dict)
    doubts: Mapping[int, str] = field(default_factory=dict)


def read_moments(column: Column) -> Moments:
    """Read a column of numbers, dates, periods or durations, or of texts of these; raises nothing.

    A column holds numbers or dates, not both: the rarer kind is taken for a mistake.
    """
    fast = None if isinstance(column, list) else _from_integers(column)
    if fast is not None:
        return fast
    values = column if isinstance(column, list) else column.to_pylist()
    codes, distinct = _distinct(values)
    if isinstance(column, list):
        return _from_keys(codes, _keys(distinct), [_EXACT_FLOATS.get(type(value), _EXACT) for value in distinct])
    return _from_keys(codes, _keys(distinct), [_exact_below(column.type)] * len(distinct))


def _from_integers(column: pa.ChunkedArray) -> Moments | None:
    """Read a column of integers, of texts of integers, or of dates, without making Python values; None if it is no such."""
    kind = column.type
    scale = 1
    if (pa.types.is_string(kind) or pa.types.is_large_string(kind)) and column.null_count == 0:
        if not pc.all(pc.match_substring_regex(column, _INTEGER)).as_py():
            return None
        try:
            column = column.cast(pa.int64())
        except pa.ArrowInvalid:  # beyond 64 bits
            return None
    elif pa.types.is_timestamp(kind):
        scale, column = _PER_SECOND[kind.unit], column.cast(pa.int64())
    elif not pa.types.is_integer(kind) or pa.types.is_uint64(kind):
        return None
    present = column.is_valid().to_numpy()
    numbers = column.cast(pa.int64()).fill_null(0).to_numpy()
    _, ranks = np.unique(numbers[present], return_inverse=True)
    all_ranks = np.full(len(numbers), -1, dtype=np.int64)
    all_ranks[present] = ranks
    times = numbers.astype(np.float64) if scale == 1 else _microseconds(numbers, scale) / 1e6
    if scale == 1 and present.all() and np.abs(numbers).max(initial=0) >= _EXACT:
        times = numbers
    elif not present.all():
        times[~present] = np.nan
    reasons = dict.fromkeys(np.flatnonzero(~present).tolist(), "")
    return Moments(all_ranks, times, reasons, _unit_doubts(times) if scale == 1 else {})


def _microseconds(numbers: np.ndarray, per_second: int) -> np.ndarray:
    return numbers // 1000 if per_second == 10**9 else numbers * (10**6 // per_second)


def _keys(values: Sequence[Any]) -> list[_Key | str]:
    """Return the key of each distinct value, or why it has none ("" for nothing)."""
    keys = [_key_of(value) for value in values]
    unread = [place for place, key in enumerate(keys) if key == NOT_A_TIME]
    texts = [str(plain_text(values[place])) for place in unread]
    for place, moment in zip(unread, _date_texts(texts), strict=True):
        if moment is not None:
            keys[place] = (True, moment)
    return keys


def _exact_below(kind: pa.DataType) -> int:
    """Return from which number on a column of this type leaves integers out."""
    if pa.types.is_dictionary(kind):
        return _exact_below(kind.value_type)
    return 2**11 if pa.types.is_float16(kind) else 2**24 if pa.types.is_float32(kind) else _EXACT


def _from_keys(codes: np.ndarray, keys: Sequence[_Key | str], exact: Sequence[int]) -> Moments:
    """Return the moments of rows whose distinct values have these keys; `exact`: from where on the type of each is not."""
    rows_of = np.bincount(codes, minlength=len(keys))
    dates, numbers = (
        sum(int(rows_of[n]) for n, key in enumerate(keys) if not isinstance(key, str) and key[0] is kind)
        for kind in (True, False)
    )
    are_dates = dates > numbers
    other = (
        "a number, where most of the column are dates" if are_dates else "a date, where most of the column are numbers"
    )
    reasons = [key if isinstance(key, str) else "" if key[0] is are_dates else other for key in keys]
    usable = {n: key[1] for n, key in enumerate(keys) if not isinstance(key, str) and key[0] is are_dates}
    places = {value: rank for rank, value in enumerate(sorted(set(usable.values())))}
    ranks = np.array([places[usable[n]] if n in usable else -1 for n in range(len(keys))], dtype=np.int64)
    seconds = [_seconds(usable[n], are_dates) if n in usable else math.nan for n in range(len(keys))]
    times = np.array(seconds, dtype=np.float64)[codes]
    wrong = {int(row): reasons[codes[row]] for row in np.flatnonzero(ranks[codes] < 0)}
    rounded = "a float this large is not exact, so its place may be wrong"
    inexact = {n for n, value in usable.items() if isinstance(value, float) and abs(value) >= exact[n]}
    doubts = {int(row): rounded for row in np.flatnonzero(np.isin(codes, list(inexact)))}
    return Moments(ranks[codes], times, wrong, doubts or ({} if are_dates else _unit_doubts(times)))


def _key_of(value: Any) -> _Key | str:
    """Return the key of a value, or why it has none; texts that are no number are `NOT_A_TIME`, but may be dates."""
    if is_missing(value):
        return ""
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64 | np.timedelta64):
        value = value.item() if not isinstance(value, np.longdouble) else _of_long_float(value)
    if isinstance(value, bool):
        return "a truth value, not a time"
    if isinstance(value, str | bytes):
        return _key_of_text(value)
    if isinstance(value, int | float | Decimal):
        return (False, value) if isinstance(value, int) or math.isfinite(value) else NOT_A_TIME
    if isinstance(value, pd.Period):
        value = value.start_time
    if isinstance(value, date | np.datetime64):
        return (True, _nanoseconds(value))
    if isinstance(value, np.timedelta64):
        return _key_of_duration(value)
    if isinstance(value, timedelta):
        return (False, _duration(value))
    return f"neither a number nor a date, but of the type {type(value).__name__}"


def _key_of_text(value: str | bytes) -> _Key | str:
    try:
        text = plain_text(value)
    except DataError:
        return "not text, but other bytes"
    if text is None:
        return ""
    if not _NUMBER.fullmatch(text) or len(text) > 1000:
        return NOT_A_TIME
    return (False, int(text) if text.lstrip("+-").isdecimal() else Decimal(text))


def _date_texts(texts: Sequence[str]) -> list[int | None]:
    """Return the nanoseconds since 1970 of ISO dates and times, None for what is none; without a zone they are UTC."""
    if not texts:
        return []
    try:
        stamps = pd.DatetimeIndex(pd.to_datetime(list(texts), format="ISO8601", utc=True, errors="coerce"))
    except (ValueError, OverflowError):
        return [_date_text(text) for text in texts]
    return [
        _date_text(text) if stamp is pd.NaT else _nanoseconds(stamp) for text, stamp in zip(texts, stamps, strict=True)
    ]


def _date_text(text: str) -> int | None:
    """Return the nanoseconds of a date that pandas does not read: weeks, years that its integers do not hold, and dates
    as Java, Ruby and C print them ("Fri Nov 09 18:33:29 -0800 2012"), which have one meaning."""
    if printed := _PRINTED.fullmatch(text):
        month, day, clock, zone, year = printed.groups()
        text = (
            f"{year}-{_MONTHS.index(month) + 1:02}-{int(day):02}T{clock}{'' if zone in (None, 'UTC', 'GMT') else zone}"
        )
    try:
        return _nanoseconds(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def _nanoseconds(moment: Any) -> int:
    if isinstance(moment, np.datetime64):
        return _nanoseconds_of(moment)
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    known = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    past = known.to_pydatetime(warn=False) if isinstance(known, pd.Timestamp) else known
    micros = (past - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return micros * 1000 + (moment.nanosecond if isinstance(moment, pd.Timestamp) else 0)


def _nanoseconds_of(moment: np.datetime64) -> int:
    """Return the nanoseconds since 1970 of a moment of any year, exact: numpy's own integers do not hold them all."""
    unit, count = np.datetime_data(moment.dtype)
    if unit not in _ATTOSECONDS:  # months and years, which have no one length
        moment, unit, count = moment.astype("datetime64[D]"), "D", 1
    return int(moment.astype(np.int64)) * count * _ATTOSECONDS[unit] // 10**9


def _key_of_duration(length: np.timedelta64) -> _Key | str:
    """Return the key of a duration in any unit, exact; a number without a unit is that number."""
    unit, count = np.datetime_data(length.dtype)
    number = int(length.astype(np.int64)) * count
    if unit == "generic":
        return (False, number)
    if unit not in _ATTOSECONDS:
        return "a duration in months or years, which have no one length"
    return (False, Decimal(f"{number * _ATTOSECONDS[unit]}e-18"))  # as text, for arithmetic would round


def _duration(length: timedelta) -> Decimal:
    nanoseconds = length.microseconds * 1000 + (length.nanoseconds if isinstance(length, pd.Timedelta) else 0)
    return length.days * 86_400 + length.seconds + Decimal(nanoseconds) / _PER_SECOND["ns"]


def _of_long_float(value: np.longdouble) -> float | Decimal:
    """Return a float of more bits than Python's, exact as far as it is written."""
    return Decimal(str(value)) if np.isfinite(value) else math.inf


def _distinct(values: Sequence[Any]) -> tuple[np.ndarray, list[Any]]:
    """Return the code of each value and the distinct values; 1, 1.0 and True are three."""
    places: dict[Any, int] = {}
    distinct: list[Any] = []
    codes = np.empty(len(values), dtype=np.int64)
    for row, value in enumerate(values):
        key = (type(value), value if _is_hashable(value) else repr(value))
        codes[row] = places.setdefault(key, len(distinct))
        if codes[row] == len(distinct):
            distinct.append(value)
    return codes, distinct


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except (TypeError, ValueError):  # a list, or a tuple with one in it; a timedelta64 without a unit
        return False
    return True


def _seconds(value: Any, is_date: bool) -> float:
    return value // 1000 / 1e6 if is_date else _as_float(value)


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _unit_doubts(times: np.ndarray) -> dict[int, str]:
    """Return the rows whose number is written in another unit than most: milliseconds, or none at all, among seconds."""
    rows = np.flatnonzero(np.isfinite(times))
    units = np.digitize(np.abs(times[rows].astype(np.float64)), _UNIT_EDGES)
    usual = int(np.bincount(units, minlength=1).argmax())
    if usual == 0:  # positions, or counted from another moment
        return {}
    return {
        int(row): f"looks like {_UNITS[unit]}, where most of the column are {_UNITS[usual]}"
        for row, unit in zip(rows[units != usual], units[units != usual], strict=True)
    }
