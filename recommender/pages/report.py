"""The page of a report: a title, tables and pictures in an order, remarks, and the settings behind them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

_SHARED_TEMPLATES = Path(__file__).parent


@dataclass(frozen=True)
class Table:
    """Rows of like keys under a title; `note` stands below. Of `best` columns the best value is marked: column -> whether
    higher is better."""

    title: str
    rows: Sequence[Mapping[str, Any]]
    note: str = ""
    best: Mapping[str, bool] | None = None


@dataclass(frozen=True)
class Picture:
    """A PNG under a title; `alt` says what it shows to those who do not see it."""

    title: str
    png: bytes
    alt: str = ""


@dataclass(frozen=True)
class Report:
    """What one page holds. `lead`: what was done, in a sentence; `settings`: what it depends on, versions included."""

    title: str
    lead: str
    parts: Sequence[Table | Picture]
    notes: Sequence[str] = ()
    settings: Mapping[str, Any] | None = None


def page_environment(templates: Path) -> jinja2.Environment:
    """Return the Jinja environment of a folder of HTML templates, which can include `page_style.css.jinja` of this one."""
    loader = jinja2.FileSystemLoader([templates, _SHARED_TEMPLATES])
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def embedded(pictures: Mapping[str, bytes]) -> dict[str, str]:
    """Return title -> data URL of PNG pictures, for pages that stand alone."""
    return {title: f"data:image/png;base64,{base64.b64encode(png).decode()}" for title, png in pictures.items()}


def report_html(report: Report) -> str:
    """Return a report as a page that stands alone."""
    parts = [
        {"kind": "table", "title": part.title, "columns": _columns(part), "rows": _cells(part), "note": part.note}
        if isinstance(part, Table)
        else {"kind": "picture", "title": part.title, "source": embedded({"": part.png})[""], "alt": part.alt}
        for part in report.parts
    ]
    settings = {name: shown(value) for name, value in (report.settings or {}).items() if value is not None}
    template = page_environment(_SHARED_TEMPLATES).get_template("report_page.html.jinja")
    return template.render(
        title=report.title, lead=report.lead, parts=parts, notes=list(report.notes), settings=settings
    )


def shown(value: Any) -> str:
    """Return a value for a table: four digits of a number with a fraction, a dash for nothing."""
    if value is None or value != value:  # NaN
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _columns(table: Table) -> list[str]:
    """Return the columns of all rows, in the order in which they come up."""
    return list(dict.fromkeys(name for row in table.rows for name in row))


def _cells(table: Table) -> list[list[dict[str, Any]]]:
    best = {name: _best([row.get(name) for row in table.rows], up) for name, up in (table.best or {}).items()}
    return [
        [
            {
                "text": shown(row.get(name)),
                "is_text": isinstance(row.get(name), str),
                "best": name in best and row.get(name) == best[name],
            }
            for name in _columns(table)
        ]
        for row in table.rows
    ]


def _best(values: Sequence[Any], higher: bool) -> Any:
    numbers = [value for value in values if isinstance(value, int | float) and value == value]
    return (max if higher else min)(numbers, default=None)
