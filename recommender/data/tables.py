"""Reads tables: parquet, text, JSON, pandas, datasets -> named columns, with the place of each row for error lines."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from recommender.config import TableConfig
from recommender.data.columns import from_frame, plain_column, python_values, refuse_doubled_fields
from recommender.data.formats import Column, Parsed, one_line, read_csv, read_jsonl
from recommender.data.ids import canonical_id, id_or_none, is_missing
from recommender.data.layout import PACKED_SUFFIXES, unpacked_suffix
from recommender.data.moments import Moments, read_moments
from recommender.data.paths import Kind as Kind
from recommender.data.paths import check_table
from recommender.errors import DataError, closest, import_extra
from recommender.files import check_plain
from recommender.numerics.memory import give_back

SUFFIXES = (".parquet", ".csv", ".jsonl")
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_TEXT_SUFFIXES = (".csv", ".tsv", ".tab", ".dat", ".data", ".txt", ".psv", ".item", ".inter", ".base", ".test")
_PACKED = ("", *PACKED_SUFFIXES)
_DECIMAL_COMMA = re.compile(r"\s*-?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+\s*", re.ASCII)
_GROUPED = re.compile(r"\s*-?[1-9]\d{0,2}(?:[,.]\d{3})+\s*", re.ASCII)  # a thousand, or one with three decimals
_USUAL_NAMES = {
    "item_id": (
        "id",
        "item",
        "itemid",
        "movie_id",
        "movieid",
        "product_id",
        "asin",
        "parent_asin",
        "sku",
        "song_id",
        "isbn",
        "book_id",
        "bookid",
        "business_id",
        "artistid",
        "artist_id",
        "track_id",
        "app_id",
        "appid",
        "game_id",
    ),
    "user_id": ("user", "userid", "customer_id", "reviewer_id", "reviewerid", "session_id", "user-id", "username"),
    "timestamp": ("time", "date", "datetime", "unixreviewtime", "created_at"),
    "rating": ("score", "stars", "overall"),
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in one place. `row` counts as a person does: lines of a text file, else rows from 1."""

    source: str
    row: int | None
    field: str
    kind: str
    reason: str
    severity: Literal["error", "warning"] = "error"
    unit: str = "row"
    hint: str | None = None

    def __str__(self) -> str:
        place = self.source if self.row is None else f"{self.source}, {self.unit} {self.row}"
        return f"{place}: {self.field}: {self.reason}" if self.field else f"{place}: {self.reason}"


@dataclass(frozen=True)
class Table:
    """Columns of equal length and where they came from.

    Relative media paths start at `folder`; `problems` are about lines that could not be read as rows.
    """

    name: str
    columns: Mapping[str, Column]
    rows: int
    folder: Path | None = None
    unit: str = "row"
    lines: Callable[[], Sequence[int]] | None = field(default=None, repr=False)
    problems: tuple[Problem, ...] = ()

    def line(self, row: int) -> int:
        """Return the number a person would give to the row with this index."""
        return row + 1 if self.lines is None else int(self.lines()[row])

    def problem(self, row: int | None, field: str, kind: str, reason: str, **more: Any) -> Problem:
        """Return a Problem of this table; `row` is an index, None for the table as a whole."""
        number = None if row is None else self.line(row)
        return Problem(self.name, number, field, kind, reason, unit=self.unit, **more)

    def values(self, column: str) -> list[Any]:
        """Return a column as Python values, None in every row if the table has no such column."""
        if column not in self.columns:
            return [None] * self.rows
        return python_values(self.columns[column])

    def factorize(self, column: str) -> tuple[np.ndarray, list[str]]:
        """Return (code of each row, -1 where there is no id; the distinct ids, in order of first appearance)."""
        raw_codes, raw = _factorize(self.columns[column])
        order: dict[str, int] = {}
        codes = [-1 if name is None else order.setdefault(name, len(order)) for name in map(id_or_none, raw)]
        return np.array([*codes, -1], dtype=np.int64)[raw_codes], list(order)

    def id_problem(self, row: int, column: str, value: Any, what: str) -> Problem:
        """Return why a cell is no id of a `what` (item, user)."""
        try:
            canonical_id(value)
        except DataError as error:
            if error.message == "the id is empty":
                return self.problem(row, column, "empty-id", f"the {what} id is empty")
            return self.problem(row, column, "bad-id", error.message, hint=error.hint)
        raise ValueError(f"{value!r} is an id")

    def moments(self, column: str) -> Moments:
        """Return what a column says of order. Raises nothing."""
        return read_moments(self.columns[column])

    def numbers(self, column: str) -> np.ndarray:
        """Return a column as float64, NaN where it holds no finite number; "3,5" is 3.5 if nothing else says otherwise.

        Beside such numbers "1.000" is a thousand; "1,000" alone may be one or a thousand, and is no number.
        """
        values = self.columns[column]
        numbers = read_moments(values).times.astype(np.float64)
        unread = np.flatnonzero(np.isnan(numbers)).tolist()
        if unread:
            cells = python_values(values)
            texts = {row: cells[row] for row in unread if not _is_blank(cells[row])}
            decimals = all(isinstance(text, str) and _DECIMAL_COMMA.fullmatch(text) for text in texts.values())
            if decimals and not all(map(is_grouped, texts.values())):
                dotted = {row: text for row, text in enumerate(cells) if isinstance(text, str) and "." in text}
                for row, text in (dotted | texts).items():
                    grouped = is_grouped(text) or row in texts
                    numbers[row] = float(text.replace(".", "").replace(",", ".")) if grouped else np.nan
        return numbers

    def missing(self, column: str, purpose: str) -> Problem:
        """Return the problem of a column that is not there, with the config key that would map another to it."""
        names = ", ".join(map(str, self.columns)) or "none"
        reason = f"no column {column!r} (found: {names})"
        return self.problem(None, "", "missing-column", reason, hint=self._column_hint(column, purpose))

    def _column_hint(self, column: str, key: str) -> str:
        names = {name.lower(): name for name in self.columns}
        near = [names[name] for name in _USUAL_NAMES.get(key, ()) if name in names]
        near += [names[name] for name in closest(column.lower(), names)]
        if len(self.columns) == 1 and any(mark in next(iter(self.columns)) for mark in ";\t|"):
            return "separate the fields of a CSV with commas"
        if len(self.columns) == 1 and re.search(r"[^\w.-]", next(iter(self.columns))):
            return (
                "set the separator of the table, for example data.items_table.separator or interactions_table.separator"
            )
        if any(name.strip().isdecimal() for name in self.columns):
            return "if the first line is no header, name the columns in data.items_table.header or interactions_table.header"
        guess = f", perhaps {near[0]!r}" if near else ""
        return f"set data.columns.{key} to the right name{guess}"


def is_grouped(text: Any) -> bool:
    """Return whether a text may be a number of thousands, "1,000" or "1.000", and as well one with three decimals."""
    return isinstance(text, str) and _GROUPED.fullmatch(text) is not None


def fail_on_errors(problems: Sequence[Problem]) -> None:
    """Raise DataError for the first error among the problems; warnings pass."""
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more problems)" if len(errors) > 1 else ""
        listing = "`recommender validate` lists every problem" if more else None
        hint = "; ".join(part for part in (errors[0].hint, listing) if part)
        raise DataError(f"{errors[0]}{more}", hint or None)


def say_warnings(problems: Sequence[Problem], kinds: Sequence[str]) -> None:
    """Log one line for each of these kinds of problem, once in a process: the first, and how many more there are."""
    for kind in kinds:
        found = [problem for problem in problems if problem.kind == kind and problem.severity == "warning"]
        if found:
            more = f" (and {len(found) - 1} more; `recommender validate` lists them)" if len(found) > 1 else ""
            say_once(f"{found[0]}{more}")


@lru_cache(maxsize=1024)
def say_once(line: str) -> None:
    """Log a line, unless this process has done so before: tables are read again whenever a model is opened."""
    logger.warning("%s", line)


def read_table(source: Any, kind: Kind, told: TableConfig | None = None) -> Table:
    """Read a file, a folder, an embedded data set, a pandas DataFrame or a `datasets.Dataset`.

    `told`: how a text file is written, where that is not to be found by looking. What was found is logged if it is
    unusual. Raises DataError naming the file and what was expected.
    """
    if isinstance(source, Table):
        return source
    if isinstance(source, pd.DataFrame):
        return _from_pandas(source)
    if not isinstance(source, str | Path):
        return _from_dataset(source, None, kind)
    path = _locate(source, kind)
    if path.is_dir():
        return _from_saved_dataset(path, kind)
    try:
        table = _read_file(path, told or TableConfig())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    if table.rows == 0:
        fail_on_errors(table.problems)
        raise DataError(f"{path}: the table of {kind} is empty", "it needs at least one row")
    return table


def _locate(source: str | Path, kind: Kind) -> Path:
    from recommender import assets

    # an embedded name wins over a folder that happens to be called so, as for models
    path = assets.fetch(str(source)) if assets.is_embedded(str(source)) else Path(source)
    check_table(path, kind)
    if path.is_dir():
        return path if _is_saved_dataset(path) else _table_in(path, kind)
    if unpacked_suffix(path) not in (".parquet", *_TEXT_SUFFIXES, *_JSON_SUFFIXES):
        others = (
            f"; text with other separators is .tsv, .dat or .txt, and any may be packed ({', '.join(PACKED_SUFFIXES)})"
        )
        message = f"{path}: cannot read a table from a {path.suffix or 'nameless'} file"
        raise DataError(message, f"use one of {', '.join(SUFFIXES)}{others}")
    check_plain(path, DataError, f"give the table of {kind} as a file")
    return path


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _read_file(path: Path, told: TableConfig) -> Table:
    suffix = unpacked_suffix(path)
    if suffix == ".parquet" or _is_parquet(path):
        return _read_parquet(path)
    parsed = read_jsonl(path, told) if suffix in _JSON_SUFFIXES else read_csv(path, told)
    if parsed.note:
        say_once(f"{path}: {parsed.note}")
    return _from_text(path, parsed)


def _table_in(folder: Path, kind: Kind) -> Path:
    names = [f"{kind}{suffix}" for suffix in SUFFIXES]
    endings = [
        ".parquet",
        *(f"{suffix}{packed}" for suffix in (*_TEXT_SUFFIXES, *_JSON_SUFFIXES) for packed in _PACKED),
    ]
    files = [folder / f"{kind}{ending}" for ending in endings if (folder / f"{kind}{ending}").is_file()]
    if len(files) == 1:
        return files[0]
    if not files:
        raise DataError(f"{folder}: the folder holds no {' or '.join(names)}", "name the file itself")
    listed = ", ".join(path.name for path in files)
    raise DataError(f"{folder}: the folder holds several tables of {kind} ({listed})", "name the file itself")


def _is_saved_dataset(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))


def _from_saved_dataset(folder: Path, kind: Kind) -> Table:
    datasets = import_extra("datasets", f"the saved data set {folder}", "datasets")
    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:  # datasets raises many kinds for one broken folder
        raise DataError(f"{folder}: cannot be read as a saved data set ({one_line(error)})") from None
    return _from_dataset(loaded, folder, kind)


def _from_dataset(source: Any, folder: Path | None, kind: Kind) -> Table:
    name = str(folder) if folder else type(source).__name__
    if "datasets" not in sys.modules:  # then nobody can have made one
        raise _no_table(name, kind)
    import datasets

    if isinstance(source, datasets.DatasetDict):
        if len(source) != 1:
            raise DataError(f"{name}: holds several splits ({', '.join(source)})", "pass one of them")
        source = next(iter(source.values()))
    if not isinstance(source, datasets.Dataset):
        raise _no_table(name, kind)
    if source.num_rows == 0:
        raise DataError(f"{name}: the table of {kind} is empty", "it needs at least one row")
    table = source.with_format("arrow")[:]
    columns = {name: plain_column(column) for name, column in zip(table.column_names, table.columns, strict=True)}
    return Table(name, columns, source.num_rows, folder)


def _no_table(name: str, kind: Kind) -> DataError:
    hint = "pass a path, a pandas DataFrame or a datasets.Dataset"
    return DataError(f"{name}: cannot be read as a table of {kind}", hint)


def _from_pandas(frame: pd.DataFrame) -> Table:
    if frame.empty:
        raise DataError("DataFrame: the table is empty", "it needs at least one row")
    if not frame.columns.is_unique:
        raise DataError("DataFrame: a column name stands twice", "rename one of the two")
    return Table("DataFrame", from_frame(frame), len(frame))


def _read_parquet(path: Path) -> Table:
    try:
        table = pa.parquet.read_table(path)
    except pa.ArrowException as error:
        raise DataError(f"{path}: not a readable parquet file ({one_line(error)})") from None
    return Table(path.name, _unique_columns(path, table), table.num_rows, path.parent)


def _from_text(path: Path, parsed: Parsed) -> Table:
    problems = (
        Problem(path.name, line.line, "", line.kind, line.reason, unit="line", hint=line.hint)
        for line in parsed.problems
    )
    return Table(path.name, parsed.columns, parsed.rows, path.parent, "line", parsed.lines, tuple(problems))


def release_tables() -> None:
    """Give back the memory of tables that are gone, which pyarrow keeps for the next one."""
    pa.default_memory_pool().release_unused()
    give_back()


def _unique_columns(path: Path, table: pa.Table) -> dict[str, Column]:
    names = table.column_names
    repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if repeated:
        raise DataError(f"{path}: column {repeated[0]!r} stands twice in the header", "rename one of the two")
    for name, column in zip(names, table.columns, strict=True):
        refuse_doubled_fields(path, name, column)
    return {name: plain_column(column) for name, column in zip(names, table.columns, strict=True)}


def _factorize(column: Column) -> tuple[np.ndarray, list[Any]]:
    """Return the code of each row and the distinct values, -1 where an arrow column has none."""
    if isinstance(column, list) or not _has_dictionary(column.type):
        values = python_values(column)
        return np.arange(len(values)), values
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries().combine_chunks()
    codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, python_values(column.dictionary)


def _is_blank(value: Any) -> bool:
    return is_missing(value) or (isinstance(value, str) and not value.strip())


def _has_dictionary(kind: pa.DataType) -> bool:
    return not pa.types.is_nested(kind) and not pa.types.is_null(kind)
