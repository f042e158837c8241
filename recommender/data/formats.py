"""Parses text and JSON files into columns, and lists each line that could not be read and why."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.csv

from recommender.config import TableConfig
from recommender.data.layout import Layout, find_layout, read_unpacked, sniff_encoding
from recommender.errors import DataError
from recommender.strict.json_documents import JsonError, distinct_keys
from recommender.strict.python_literals import parse_literal

Column: TypeAlias = pa.ChunkedArray | list[Any]
_BLOCK_BYTES = 1 << 24  # one record must fit: descriptions can be long
_TYPED_NAME = re.compile(r"[^:]+:(token|float)(_seq)?")  # as RecBole writes user_id:token
_CONTROLS = re.compile(rb"\xc2[\x80-\x84\x86-\x9f]")
_NUMBER = re.compile(r"-?\d+([.,]\d+)?")


@dataclass(frozen=True)
class LineProblem:
    """A line that gives no row, or not the row that was written."""

    line: int
    kind: str
    reason: str
    hint: str | None = None


@dataclass(frozen=True)
class Parsed:
    """Columns of `rows` values each; `lines()` gives the line on which each row starts.

    note: what a person might not have expected of how the file is written.
    """

    columns: dict[str, Column]
    rows: int
    lines: Callable[[], Sequence[int]]
    problems: tuple[LineProblem, ...] = ()
    note: str | None = None


def read_csv(path: Path, told: TableConfig | None = None) -> Parsed:
    """Read a file of separated fields; every field stays the text it is.

    Its first line names the columns, unless `told.header` does; encoding, separator and quotes are found by looking
    unless told. Lines of the wrong width give no row, bytes that fit no letter become U+FFFD; both are reported. Raises
    DataError if the file as a whole makes no sense.
    """
    told = told or TableConfig()
    raw = read_unpacked(path)
    layout = find_layout(raw, path, told)
    utf8 = layout.utf8(raw)
    names = _names(path, layout, utf8)
    _refuse_open_quote(path, layout, utf8)
    problems: list[LineProblem] = []
    try:
        table = _parse(utf8, layout, names)
    except (pa.ArrowInvalid, UnicodeDecodeError):  # some line is at fault: find which, keep the others
        widths = _wrong_widths(path, layout, utf8, len(names))
        problems = [*_undecodable(utf8), *widths]
        table = _parse_good_rows(path, layout, utf8, names, reported=len(widths))
    if layout.encoding != "utf-8":
        problems += _not_in_encoding(layout, utf8)
    columns = dict(zip(names, table.columns, strict=True))
    lines = _csv_lines(path, layout, len(names), table.num_rows)
    note = "; ".join(filter(None, (layout.note(path), _no_letters(layout, utf8)))) or None
    return Parsed(columns, table.num_rows, lines, tuple(problems), note)


def read_jsonl(path: Path, told: TableConfig | None = None) -> Parsed:
    """Read one JSON object a line, or one array of objects; blank lines are skipped, what is no object is reported."""
    raw = read_unpacked(path)
    encoding = (told.encoding if told else None) or _unicode_encoding(raw)
    if encoding != "utf-8":
        find_layout(raw, path, TableConfig(encoding=encoding))  # says if there is no such encoding
        raw = Layout(encoding).utf8(raw)
    note = None if encoding == "utf-8" else f"read as {encoding}"
    if raw.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
        array = _json_array(path, raw)
        if array is not None:
            return _from_array(array, note)
    records: list[dict[str, Any]] = []
    lines: list[int] = []
    problems: list[LineProblem] = []
    for number, line in enumerate(io.BytesIO(raw), start=1):
        if not line.strip():
            continue
        record = _json_object(number, line)
        if isinstance(record, LineProblem):
            problems.append(record)
        else:
            records.append(record)
            lines.append(number)
    return _from_records(records, lines, problems, note)


def one_line(error: Exception) -> str:
    """Return an error's message on one line, cut where it rambles."""
    return " ".join(str(error).split())[:200]


def _from_records(
    records: list[dict[str, Any]], lines: Sequence[int], problems: list[LineProblem], note: str | None
) -> Parsed:
    names = dict.fromkeys(name for record in records for name in record)
    columns: dict[str, Column] = {name: [record.get(name) for record in records] for name in names}
    return Parsed(columns, len(records), lambda: lines, tuple(problems), note)


def _unicode_encoding(raw: bytes) -> str:
    """Return UTF-16 or UTF-32 where that is what JSON is written in, else UTF-8: JSON knows no others."""
    encoding = sniff_encoding(raw[: 1 << 16])
    return encoding if encoding.startswith(("utf-16", "utf-32")) else "utf-8"


def _from_array(array: list[Any], note: str | None) -> Parsed:
    """Return the objects of an array; the place of each, from 1, is its line."""
    places = [place for place, record in enumerate(array, start=1) if isinstance(record, dict)]
    others = [(place, record) for place, record in enumerate(array, start=1) if not isinstance(record, dict)]
    problems = [
        LineProblem(
            place, "bad-json", f"expected a JSON object, found {type(record).__name__}", "write one object a row"
        )
        for place, record in others
    ]
    return _from_records([array[place - 1] for place in places], places, problems, note)


def _json_array(path: Path, raw: bytes) -> list[Any] | None:
    """Return the entries of a file that is one JSON array with objects in it, None if it is anything else.

    Raises DataError if an object has a key twice.
    """
    try:
        whole = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=distinct_keys)
    except JsonError as error:
        raise DataError(f"{path}: {error}", "give each key once") from None
    except (ValueError, RecursionError):
        return None
    return whole if isinstance(whole, list) and any(isinstance(record, dict) for record in whole) else None


def _json_object(number: int, raw: bytes) -> dict[str, Any] | LineProblem:
    try:
        text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        record = json.loads(text, object_pairs_hook=distinct_keys)
    except UnicodeDecodeError:
        return _not_utf8(number, raw)
    except json.JSONDecodeError as error:
        record = _python_dict(text)
        if not isinstance(record, dict):
            reason = f"not valid JSON ({record or f'{error.msg}, column {error.colno}'})"
            return LineProblem(number, "bad-json", reason, "write one JSON object a line")
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else one_line(error)
        return LineProblem(number, "bad-json", f"not valid JSON ({reason})", "write one JSON object a line")
    if not isinstance(record, dict):
        reason = f"expected a JSON object, found {type(record).__name__}"
        return LineProblem(number, "bad-json", reason, "write one JSON object a line")
    return record


def _python_dict(text: str) -> dict[str, Any] | str | None:
    """Return the dictionary of a line that Python printed, as in older public sets ({'asin': ...}); None for others.

    If it has a key twice, that is said instead.
    """
    try:
        record = parse_literal(text.strip())
    except (SyntaxError, RecursionError, MemoryError):
        return None
    except ValueError as error:
        return str(error) if "twice" in str(error) else None
    return record if isinstance(record, dict) and all(isinstance(name, str) for name in record) else None


def _names(path: Path, layout: Layout, utf8: bytes) -> list[str]:
    """Return the names of the columns, those without a name as "". Raises DataError for an empty or doubtful header."""
    try:
        first = next((row for _, row in layout.rows(utf8) if row), None)
    except csv.Error as error:
        raise DataError(f"{path}: not a readable CSV ({one_line(error)})") from None
    if first is None:
        raise DataError(f"{path}: the file is empty", "its first line names the columns")
    if layout.names is not None:
        if len(first) != len(layout.names):
            reason = f"the first line has {len(first)} fields, and the config names {len(layout.names)} columns"
            raise DataError(f"{path}: {reason}", "name every column of a file without a header, in order")
        if repeated := [name for name in layout.names if layout.names.count(name) > 1]:
            raise DataError(f"{path}: the config names column {repeated[0]!r} twice", "give each column another name")
        return list(layout.names)
    names = [name.strip() for name in first]
    if any("\ufffd" in name for name in names):
        raise DataError(f"{path}: the column names are not {layout.encoding.upper()}", "save the file as UTF-8")
    repeated = [name for name in names if name and names.count(name) > 1]
    if repeated and not _NUMBER.fullmatch(repeated[0]):
        raise DataError(f"{path}: column {repeated[0]!r} stands twice in the header", "rename one of the two")
    numbered = names == [str(place) for place in range(len(names))]  # as pandas writes a frame without names
    if sum(bool(_NUMBER.fullmatch(name)) for name in names) * 2 > len(names) and not numbered:
        reason = f"the first line is no header ({', '.join(names[:4])})"
        raise DataError(f"{path}: {reason}", "name the columns in data.items_table.header or interactions_table.header")
    if all(_TYPED_NAME.fullmatch(name) for name in names):
        names = [name.partition(":")[0] for name in names]
        if repeated := [name for name in names if names.count(name) > 1]:
            raise DataError(f"{path}: column {repeated[0]!r} stands twice in the header", "rename one of the two")
    return _distinct(names)


def _distinct(names: list[str]) -> list[str]:
    """Return names of which no two are equal: further columns without a name are "Unnamed: 3", as pandas calls them."""
    return [name if name or names.index("") == place else f"Unnamed: {place}" for place, name in enumerate(names)]


def _parse(utf8: bytes, layout: Layout, names: list[str], **options: Any) -> pa.Table:
    """Parse every field as text."""
    header = names if layout.names is not None else next(row for _, row in layout.rows(utf8) if row)
    read = pa.csv.ReadOptions(block_size=_BLOCK_BYTES, column_names=layout.names)
    convert = pa.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False)
    parse = pa.csv.ParseOptions(
        delimiter=layout.one_char_separator,
        quote_char='"' if layout.quoted else False,
        escape_char="\\" if layout.escaped else False,
        newlines_in_values=layout.quoted,
        **options,
    )
    return pa.csv.read_csv(io.BytesIO(utf8), read_options=read, parse_options=parse, convert_options=convert)


def _parse_good_rows(path: Path, layout: Layout, utf8: bytes, names: list[str], reported: int) -> pa.Table:
    """Parse the rows of the right width. Raises DataError if others than the `reported` ones would be left out."""
    skipped: list[int] = []

    def skip(row: pa.csv.InvalidRow) -> str:
        skipped.append(row.actual_columns)
        return "skip"

    # made UTF-8 first, because pyarrow tells of an odd row only if it can decode it
    text = utf8.decode("utf-8", errors="replace").encode()
    try:
        table = _parse(text, layout, names, invalid_row_handler=skip)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not a readable CSV ({one_line(error)})") from None
    if len(skipped) != reported:  # the two parsers read the quotes differently, so no line number can be trusted
        raise DataError(f"{path}: {len(skipped)} rows are broken by misplaced quotes", "quote whole fields")
    return table


def _csv_lines(path: Path, layout: Layout, width: int, rows: int) -> Callable[[], Sequence[int]]:
    """Return a function that counts lines when first asked, for that reads the file again."""
    header = 0 if layout.names is not None else 1

    @cache
    def lines() -> Sequence[int]:
        utf8 = layout.utf8(read_unpacked(path))
        try:
            counted = [line for line, row in layout.rows(utf8) if row and len(row) == width][header:]
        except csv.Error:
            counted = []
        # the two parsers may disagree about odd quoting; then lines are counted as if none had a line break
        return counted if len(counted) == rows else range(1 + header, rows + 1 + header)

    return lines


def _wrong_widths(path: Path, layout: Layout, utf8: bytes, width: int) -> list[LineProblem]:
    named = "the config has names" if layout.names is not None else "the header has"
    hint = "put fields that hold commas in double quotes" if layout.separator == "," else None
    try:
        return [
            LineProblem(line, "bad-row", f"{len(row)} fields where {named} {width}", hint)
            for line, row in layout.rows(utf8)
            if row and len(row) != width
        ]
    except csv.Error as error:
        raise DataError(f"{path}: not a readable CSV ({one_line(error)})") from None


def _refuse_open_quote(path: Path, layout: Layout, utf8: bytes) -> None:
    """Raise DataError if a quoted field is never closed, which would swallow all rows below it."""
    if not layout.quoted or (utf8.count(b'"') % 2 == 0 and not layout.escaped):
        return
    start = 0
    try:
        for start, row in layout.rows(utf8, strict=True):  # noqa: B007
            start += sum(field.count("\n") for field in row)
    except csv.Error as error:
        if layout.escaped and "end of data" not in str(error):
            return
        reason = f"after line {start}: a quoted field is broken or never closed ({one_line(error)})"
        raise DataError(f"{path}: {reason}", 'write a double quote inside a quoted field as ""') from None


def _undecodable(utf8: bytes) -> Iterator[LineProblem]:
    for number, raw in enumerate(io.BytesIO(utf8), start=1):
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError:
            yield _not_utf8(number, raw)


def _not_in_encoding(layout: Layout, utf8: bytes) -> Iterator[LineProblem]:
    """Yield the lines that the encoding could not read whole."""
    if b"\xef\xbf\xbd" in utf8:
        for number, raw in enumerate(io.BytesIO(utf8), start=1):
            if b"\xef\xbf\xbd" in raw:
                reason = f"holds bytes that are no {layout.encoding}"
                yield LineProblem(number, "not-utf8", reason, "set the encoding of the table, or save it as UTF-8")


def _no_letters(layout: Layout, utf8: bytes) -> str | None:
    """Return what is odd of a text that no encoding was found for: Latin-1 reads any byte, some as invisible controls."""
    count = len(_CONTROLS.findall(utf8)) if layout.encoding == "latin-1" else 0
    said = "are no letters in it and get lost; set the encoding of the table, for example mac_roman or cp437"
    return f"{count:,} of its bytes {said}" if count else None


def _not_utf8(number: int, raw: bytes) -> LineProblem:
    try:
        raw.decode("utf-8")
        reason = "not UTF-8"
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 (byte 0x{raw[error.start]:02x})"
    return LineProblem(number, "not-utf8", reason, "save the file as UTF-8")
