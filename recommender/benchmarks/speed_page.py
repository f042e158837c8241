"""The page of a measurement: its table, and a bar for each row in the columns that hold measured numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recommender.files import write_bytes
from recommender.pages import Picture, Report, Table, report_html
from recommender.pages.drawing import bar_chart

Rows = Sequence[Mapping[str, Any]]
#: plots of a page; a table says the rest
MOST_PLOTS = 4


def write_speed_page(rows: Rows, settings: Mapping[str, Any], path: Path) -> None:
    """Write what was measured as one HTML file. Columns of numbers with a fraction are drawn, the first ones first."""
    plots = [
        Picture(column, bar_chart(_values(rows, column), column), f"{column} of each row of the table")
        for column in _measured(rows)[:MOST_PLOTS]
    ]
    lead = "Measured on this machine, whose facts stand below; what else ran on it counts too."
    report = Report("Speed and memory", lead, [Table("Measured", rows), *plots], settings=settings)
    write_bytes(path, report_html(report).encode())


def _measured(rows: Rows) -> list[str]:
    names = dict.fromkeys(name for row in rows for name in row)
    return [name for name in names if any(isinstance(row.get(name), float) for row in rows)]


def _values(rows: Rows, column: str) -> dict[str, float]:
    """Return what each row is called, by its texts and whole numbers -> its value; rows without one are left out."""
    values: dict[str, float] = {}
    for number, row in enumerate(rows, start=1):
        said = [str(v) if isinstance(v, str) else f"{n} {v}" for n, v in row.items() if isinstance(v, str | int)]
        name = ", ".join(said) or f"row {number}"
        if isinstance(value := row.get(column), int | float):
            values[name if name not in values else f"{name} ({number})"] = float(value)
    return values
