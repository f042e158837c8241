"""What orders interactions: a time, a position, or, without either, the file or nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from recommender.config import ColumnsConfig, WithoutTime
from recommender.data.cells import flat
from recommender.data.tables import Problem, Table
from recommender.errors import DataError

_TIME_WORDS = ("time", "date", "created", "position")
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
                table.problem(row, column, "bad-time", _wrong(values[row], reason))
                for row, reason in moments.reasons.items()
            ]
            for row, doubt in moments.doubts.items():
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
