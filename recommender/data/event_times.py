"""What orders interactions: a time, a position, or, without either, the file or nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from recommender.config import ColumnsConfig, WithoutTime
from recommender.data.cells import flat
from recommender.data.tables import Problem, Table, is_grouped
from recommender.errors import DataError

_TIME_WORDS = ("time", "date", "created", "position")
_HINT = "write times as 2020-12-31 or 2020-12-31 23:59:59, or as seconds since 1970"
_SHUFFLE = 0  # the seed of sets: one shuffle for all readers, so that splits can be compared


def order_of(
    table: Table, columns: ColumnsConfig, without_time: WithoutTime = None
) -> tuple[np.ndarray, np.ndarray | None, list[Problem]]:
    """Return (place of each row in time, int64 [rows], -1 where unusable; its time, None if it has none; problems)."""
    for column in (columns.timestamp, columns.position):
        if column in table.columns:
            moments = table.moments(column)
            values = table.values(column) if moments.reasons else []
            problems = [
                table.problem(row, column, "bad-time", _wrong(values[row], reason), hint=_HINT if reason else None)
                for row, reason in moments.reasons.items()
            ]
            fractions = bool((np.modf(moments.times)[0] > 0).any())
            thousands = _thousands(table.values(column)) if fractions else {}
            for row, doubt in (thousands | dict(moments.doubts)).items():
                problems.append(table.problem(row, column, "doubtful-time", doubt, severity="warning"))
            return moments.ranks, moments.times if column == columns.timestamp else None, problems
    return _untimed(table, columns, without_time)


def resembling_times(table: Table, columns: ColumnsConfig) -> list[str]:
    """Return the columns whose names speak of time, among those that nothing else needs."""
    taken = {columns.user_id, columns.item_id, columns.rating}
    return [name for name in table.columns if name not in taken and any(word in name.lower() for word in _TIME_WORDS)]


def shown(value: Any) -> str | None:
    """Return a cell as a person would read it, None if it is empty."""
    try:
        return ", ".join(flat(value)) or None
    except DataError:  # bytes that are no text
        return repr(value)


def _thousands(values: list[Any]) -> dict[int, str]:
    """Return row -> doubt where dots may stand between thousands: all fractions of a column have three digits."""
    texts = {row: value for row, value in enumerate(values) if isinstance(value, str) and "." in value}
    if not texts or not all(map(is_grouped, texts.values())):
        return {}
    read = "is read as a number with three decimals; if the dot stands between thousands, leave it out"
    return {row: f"{text!r} {read}" for row, text in texts.items()}


def _wrong(value: Any, reason: str) -> str:
    text = shown(value)
    if text is None:
        return "empty"
    return f"{text[:40]!r} is {reason}"


def _untimed(
    table: Table, columns: ColumnsConfig, without_time: WithoutTime
) -> tuple[np.ndarray, np.ndarray | None, list[Problem]]:
    order, taken = np.arange(table.rows), "the order of the file is taken"
    hint = "set data.columns.timestamp if there is a time, or data.without_time: sets if that order means nothing"
    if without_time == "sets":
        order = np.random.default_rng(_SHUFFLE).permutation(table.rows)
        taken, hint = "a fixed shuffle orders them, as data.without_time says", ""
    reason = f"no column {columns.timestamp!r} or {columns.position!r}, so {taken}"
    return order, None, [table.problem(None, "", "no-time", reason, severity="warning", hint=hint or None)]
