"""Parses CSV and JSONL files into columns, and lists each line that could not be read and why."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.csv

from recommender.errors import DataError

Column: TypeAlias = pa.ChunkedArray | list[Any]
_BLOCK_BYTES = 1 << 24  # one record must fit: descriptions can be long


@dataclass(frozen=True)
class LineProblem:
    """A line that gives no row, or not the row that was written."""

    line: int
    kind: str
    reason: str
    hint: str | None = None


@dataclass(frozen=True)
class Parsed:
    """Columns of `rows` values each; `lines()` gives the line on which each row starts."""

    columns: dict[str, Column]
    rows: int
    lines: Callable[[], Sequence[int]]
    problems: tuple[LineProblem, ...] = ()


def read_csv(path: Path) -> Parsed:
    """Read a CSV whose first line names the columns; every field stays the text it is.

    Lines of the wrong width give no row, bytes that are no UTF-8 become U+FFFD; both are reported. Raises DataError
    if the file as a whole makes no sense.
    """
    names = _header(path)
    _refuse_open_quote(path)
    problems: list[LineProblem] = []
    try:
        table = _parse(path, names)
    except (pa.ArrowInvalid, UnicodeDecodeError):  # some line is at fault: find which, keep the others
        widths = _wrong_widths(path, len(names))
        problems = [*_undecodable(path), *widths]
        table = _parse_good_rows(path, names, reported=len(widths))
    columns = dict(zip(names, table.columns, strict=True))
    return Parsed(columns, table.num_rows, _csv_lines(path, len(names), table.num_rows), tuple(problems))


def read_jsonl(path: Path) -> Parsed:
    """Read one JSON object a line; blank lines are skipped, lines that hold anything else are reported."""
    records: list[dict[str, Any]] = []
    lines: list[int] = []
    problems: list[LineProblem] = []
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.strip():
                continue
            record = _json_object(number, raw)
            if isinstance(record, LineProblem):
                problems.append(record)
            else:
                records.append(record)
                lines.append(number)
    names = dict.fromkeys(name for record in records for name in record)
    columns: dict[str, Column] = {name: [record.get(name) for record in records] for name in names}
    return Parsed(columns, len(records), lambda: lines, tuple(problems))


def one_line(error: Exception) -> str:
    """Return an error's message on one line, cut where it rambles."""
    return " ".join(str(error).split())[:200]


def _json_object(number: int, raw: bytes) -> dict[str, Any] | LineProblem:
    try:
        record = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError:
        return _not_utf8(number, raw)
    except (json.JSONDecodeError, RecursionError) as error:
        reason = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "nested too deep"
        return LineProblem(number, "bad-json", f"not valid JSON ({reason})", "write one JSON object a line")
    if not isinstance(record, dict):
        reason = f"expected a JSON object, found {type(record).__name__}"
        return LineProblem(number, "bad-json", reason, "write one JSON object a line")
    return record


def _header(path: Path) -> list[str]:
    try:
        names = next((row for _, row in _csv_rows(path) if row), None)
    except csv.Error as error:
        raise DataError(f"{path}: not a readable CSV ({one_line(error)})") from None
    if names is None:
        raise DataError(f"{path}: the file is empty", "its first line names the columns")
    if any("\ufffd" in name for name in names):
        raise DataError(f"{path}: the column names are not UTF-8", "save the file as UTF-8")
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise DataError(f"{path}: column {repeated[0]!r} stands twice in the header", "rename one of the two")
    return names


def _parse(source: Path | io.BytesIO, names: list[str], **options: Any) -> pa.Table:
    """Parse every field as text."""
    read = pa.csv.ReadOptions(block_size=_BLOCK_BYTES)
    convert = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    parse = pa.csv.ParseOptions(newlines_in_values=True, **options)
    return pa.csv.read_csv(source, read_options=read, parse_options=parse, convert_options=convert)


def _parse_good_rows(path: Path, names: list[str], reported: int) -> pa.Table:
    """Parse the rows of the right width. Raises DataError if others than the `reported` ones would be left out."""
    skipped: list[int] = []

    def skip(row: pa.csv.InvalidRow) -> str:
        skipped.append(row.actual_columns)
        return "skip"

    # made UTF-8 first, because pyarrow tells of an odd row only if it can decode it
    text = path.read_bytes().decode("utf-8", errors="replace")
    try:
        table = _parse(io.BytesIO(text.encode()), names, invalid_row_handler=skip)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not a readable CSV ({one_line(error)})") from None
    if len(skipped) != reported:  # the two parsers read the quotes differently, so no line number can be trusted
        raise DataError(f"{path}: {len(skipped)} rows are broken by misplaced quotes", "quote whole fields")
    return table


def _csv_rows(path: Path, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield (line on which the record starts, fields); [] for a blank line."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file, strict=strict)
        start = 1
        for row in reader:
            yield start, row
            start = reader.line_num + 1


def _csv_lines(path: Path, width: int, rows: int) -> Callable[[], Sequence[int]]:
    """Return a function that counts lines when first asked, for that reads the file again."""
    counted: list[int] = []

    def lines() -> Sequence[int]:
        if not counted:
            try:
                counted.extend(line for line, row in _csv_rows(path) if row and len(row) == width)
            except csv.Error:
                counted.clear()
        # the two parsers may disagree about odd quoting; then lines are counted as if none had a line break
        return counted[1:] if len(counted) == rows + 1 else range(2, rows + 2)

    return lines


def _wrong_widths(path: Path, width: int) -> list[LineProblem]:
    hint = "put fields that hold commas in double quotes"
    try:
        return [
            LineProblem(line, "bad-row", f"{len(row)} fields where the header has {width}", hint)
            for line, row in _csv_rows(path)
            if row and len(row) != width
        ]
    except csv.Error as error:
        raise DataError(f"{path}: not a readable CSV ({one_line(error)})") from None


def _refuse_open_quote(path: Path) -> None:
    """Raise DataError if a quoted field is never closed, which would swallow all rows below it."""
    with path.open("rb") as file:
        quotes = sum(block.count(b'"') for block in iter(lambda: file.read(_BLOCK_BYTES), b""))
    if quotes % 2 == 0:
        return
    start = 0
    try:
        for start, row in _csv_rows(path, strict=True):  # noqa: B007
            start += sum(field.count("\n") for field in row)
    except csv.Error as error:
        reason = f"after line {start}: a quoted field is broken or never closed ({one_line(error)})"
        raise DataError(f"{path}: {reason}", 'write a double quote inside a quoted field as ""') from None


def _undecodable(path: Path) -> Iterator[LineProblem]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError:
                yield _not_utf8(number, raw)


def _not_utf8(number: int, raw: bytes) -> LineProblem:
    try:
        raw.decode("utf-8")
        reason = "not UTF-8"
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 (byte 0x{raw[error.start]:02x})"
    return LineProblem(number, "not-utf8", reason, "save the file as UTF-8")
