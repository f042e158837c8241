"""Prints results: to standard output, as JSON, tables or text. Nothing but the command line prints."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from recommender.errors import printable
from recommender.strict.json_documents import json_text

if TYPE_CHECKING:
    from recommender.engine import Engine


class _Screen(Console):
    """A console whose texts cannot steer the terminal: titles, paths and notes may hold escape sequences."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of what is printed; a file or a pipe gets what there is."""
        for segment in super().render(renderable, options):
            if self.is_terminal and segment.control is None:
                yield Segment(printable(segment.text, keep="\n\t"), segment.style)
            else:
                yield segment


out, err = _Screen(), _Screen(stderr=True)

UNBOUNDED = 100_000
"""A width that no table needs."""


def print_json(value: Any) -> None:
    """Print a result to standard output as one line of JSON."""
    out.print(json_text(value), soft_wrap=True, markup=False, highlight=False, emoji=False)


def print_text(text: str) -> None:
    """Print text to standard output: in a terminal wrapped between words, below where each line begins; else as it is."""
    if out.is_terminal:
        text = "\n".join(_wrapped(line, out.width) for line in text.splitlines())
    out.print(Text(text), soft_wrap=True)


def _wrapped(line: str, width: int) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def print_note(text: str) -> None:
    """Print a remark about a result to standard error."""
    err.print(Text(text), soft_wrap=True)


def print_plain_note(engine: Engine) -> None:
    """Say once, on standard error, that a model's justifications are plain sentences and why, where they are."""
    if engine.plain_note is not None:
        print_note(engine.plain_note)


def print_rows(rows: list[dict[str, Any]], title: str | None = None, as_json: bool = False) -> None:
    """Print rows of like keys to standard output, as a table or as JSON."""
    if as_json:
        print_json(rows)
    else:
        print_view(table_of(rows, title))


def print_facts(facts: Mapping[str, Any], as_json: bool) -> None:
    """Print named values to standard output: a line each, or JSON."""
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        print_text(f"{name}: {json_text(value)}")


def print_view(*views: RenderableType) -> None:
    """Print tables and text to standard output.

    A table with headers fits a terminal without a broken word, if need be as a list of its rows. In a file or a pipe it
    is as wide as its cells are, and a text as its lines, so nothing of them is cut.
    """
    for view in views:
        ruled = isinstance(view, Table) and view.show_header
        if out.is_terminal:
            out.print(fitted(view, out) if ruled else view, highlight=False)
        else:
            whole = ruled or isinstance(view, Text)
            width = max(out.width, _measured(view, out).maximum) if whole else out.width
            out.print(Text(as_plain_text(view, width)), soft_wrap=True)


def as_plain_text(view: RenderableType, width: int) -> str:
    """Return a view as lines of text of at most `width` cells, without colours and without spaces at their ends."""
    console = Console(file=io.StringIO(), width=width, no_color=True, force_terminal=False)
    with console.capture() as capture:
        console.print(view, highlight=False)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def table_of(rows: Iterable[Mapping[str, Any]], title: str | None = None) -> Table:
    """Return rows of like keys as a table; floats are shown with four digits."""
    rows = list(rows)
    table = Table(*(rows[0] if rows else ()), title=title, title_justify="left")
    for row in rows:
        table.add_row(*(Text(f"{v:.4g}" if isinstance(v, float) else str(v)) for v in row.values()))
    return table


def _measured(view: RenderableType, console: Console) -> Measurement:
    """Return the widths that a view takes with every word whole: at least, and without any line break."""
    options = console.options.update(width=UNBOUNDED, max_width=UNBOUNDED)
    return Measurement.get(console, options, view)


def fitted(table: Any, console: Console) -> RenderableType:
    """Return the table with column widths that fit the console and break no word, or its rows as lists."""
    if _measured(table, console).maximum <= console.width:
        return table
    cells = [
        [Text(), *column.cells] if column.header == "" else [column.header, *column.cells] for column in table.columns
    ]
    sizes = [[_measured(cell, console) for cell in column] for column in cells]
    least = [max(size.minimum for size in column) for column in sizes]
    most = [max(size.maximum for size in column) for column in sizes]
    room = console.width - (_measured(table, console).maximum - sum(most)) - sum(least)
    if room < 0:
        return _as_lists(table)
    for column, width in zip(table.columns, _shared_out(room, least, most), strict=True):
        column.width, column.ratio = width, None
    return table


def _shared_out(room: int, least: list[int], most: list[int]) -> list[int]:
    """Return column widths: `least`, and the room beyond it given to the columns that lack the most, a cell at a time."""
    widths = list(least)
    for _ in range(room):
        lacking = [full - width for full, width in zip(most, widths, strict=True)]
        widths[lacking.index(max(lacking))] += 1
    return widths


def _as_lists(table: Table) -> RenderableType:
    """Return a table that is too wide as a grid with one line a cell, a blank line between two rows."""
    grid = Table.grid(padding=(0, 2), expand=False)
    grid.title, grid.title_justify = table.title, "left"
    headers = [column.header for column in table.columns]
    for number, cells in enumerate(zip(*(column.cells for column in table.columns), strict=True)):
        if number:
            grid.add_row("", "")
        for header, cell in zip(headers, cells, strict=True):
            grid.add_row(Padding(header, (0, 0)), cell)
    return grid
