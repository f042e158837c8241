"""Reads tables: parquet, CSV, JSONL, pandas, datasets -> named columns, with the place of each row for error lines."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from recommender.data.formats import Column, Parsed, one_line, read_csv, read_jsonl
from recommender.errors import DataError, closest, did_you_mean, import_extra

Kind = Literal["items", "interactions", "targets"]
SUFFIXES = (".parquet", ".csv", ".jsonl")
_USUAL_NAMES = {
    "item_id": ("id", "item", "itemid", "movie_id", "movieid", "product_id", "asin", "parent_asin", "sku", "song_id"),
    "user_id": ("user", "userid", "customer_id", "reviewer_id", "reviewerid", "session_id"),
    "timestamp": ("time", "date", "datetime", "unixreviewtime", "created_at"),
    "rating": ("score", "stars", "overall"),
}


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
        values = self.columns[column]
        return values if isinstance(values, list) else values.to_pylist()

    def factorize(self, column: str) -> tuple[np.ndarray, list[str]]:
        """Return (code of each row, -1 where missing; the distinct texts, in order of first appearance)."""
        raw_codes, raw = _factorize(self.columns[column])
        texts = [canonical(value) for value in raw]
        order: dict[str, int] = {}
        for text in texts:
            if text is not None:
                order.setdefault(text, len(order))
        lookup = np.array([-1 if text is None else order[text] for text in texts] + [-1], dtype=np.int64)
        return lookup[raw_codes], list(order)

    def numbers(self, column: str) -> np.ndarray:
        """Return a column as float64, NaN where it holds no finite number. Dates become seconds since 1970, UTC."""
        values = self.columns[column]
        if isinstance(values, pa.ChunkedArray) and pa.types.is_temporal(values.type):
            stamps = pd.to_datetime(values.to_pandas(), utc=True, errors="coerce")
            return _seconds(stamps)
        codes, texts = self.factorize(column)
        return np.append(parse_numbers(texts), np.nan)[codes]

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
        return f"set data.columns.{key} to the right name" + (f", perhaps {near[0]!r}" if near else "")


def fail_on_errors(problems: Sequence[Problem]) -> None:
    """Raise DataError for the first error among the problems; warnings pass."""
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more problems)" if len(errors) > 1 else ""
        listing = "`recommender validate` lists every problem" if more else None
        hint = "; ".join(part for part in (errors[0].hint, listing) if part)
        raise DataError(f"{errors[0]}{more}", hint or None)


def canonical(value: Any) -> str | None:
    """Return an id or a plain value as text: 50, 50.0 and " 50 " are "50"; None where there is nothing."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None


def parse_numbers(texts: Sequence[str]) -> np.ndarray:
    """Return finite numbers, or ISO dates as seconds since 1970 (UTC); NaN for what is neither.

    A column holds numbers or dates, not both: the rarer kind is taken for a mistake.
    """
    numbers = np.array([_number(text) for text in texts], dtype=np.float64)
    others = np.flatnonzero(np.isnan(numbers))
    if len(others) == 0:
        return numbers
    words = [texts[int(row)] for row in others]
    stamps = pd.Series(pd.to_datetime(words, format="ISO8601", utc=True, errors="coerce"))
    dates = np.full(len(texts), np.nan)
    dates[others] = _seconds(stamps)
    return dates if np.isfinite(dates).sum() > np.isfinite(numbers).sum() else numbers


def read_table(source: Any, kind: Kind) -> Table:
    """Read a file, a folder, an embedded data set, a pandas DataFrame or a `datasets.Dataset`.

    Raises DataError naming the file and what was expected.
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
        table = _READERS[path.suffix.lower()](path)
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
    if not path.exists():
        beside = [str(other) for other in path.parent.iterdir()] if path.parent.is_dir() else []
        elsewhere = f"say where the table of {kind} is, by its option or in the section data of the config"
        raise DataError(f"{path}: no such file or folder for the {kind}", did_you_mean(str(path), beside) or elsewhere)
    if path.is_dir():
        return path if _is_saved_dataset(path) else _table_in(path, kind)
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(
            f"{path}: cannot read a table from a {path.suffix or 'nameless'} file", f"use one of {', '.join(SUFFIXES)}"
        )
    return path


def _table_in(folder: Path, kind: Kind) -> Path:
    names = [f"{kind}{suffix}" for suffix in SUFFIXES]
    files = [folder / name for name in names if (folder / name).is_file()]
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
    return Table(name, dict(zip(table.column_names, table.columns, strict=True)), source.num_rows, folder)


def _no_table(name: str, kind: Kind) -> DataError:
    hint = "pass a path, a pandas DataFrame or a datasets.Dataset"
    return DataError(f"{name}: cannot be read as a table of {kind}", hint)


def _from_pandas(frame: pd.DataFrame) -> Table:
    if frame.empty:
        raise DataError("DataFrame: the table is empty", "it needs at least one row")
    if not frame.columns.is_unique:
        raise DataError("DataFrame: a column name stands twice", "rename one of the two")
    return Table("DataFrame", {str(name): _pandas_column(frame[name]) for name in frame.columns}, len(frame))


def _pandas_column(series: pd.Series) -> Column:
    try:
        return pa.chunked_array([pa.array(series, from_pandas=True)])
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):  # a column of mixed types
        return series.tolist()


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


def _unique_columns(path: Path, table: pa.Table) -> dict[str, Column]:
    names = table.column_names
    repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if repeated:
        raise DataError(f"{path}: column {repeated[0]!r} stands twice in the header", "rename one of the two")
    return dict(zip(names, table.columns, strict=True))


def _factorize(column: Column) -> tuple[np.ndarray, list[Any]]:
    if isinstance(column, list) or pa.types.is_nested(column.type):
        values = column if isinstance(column, list) else column.to_pylist()
        codes, raw = pd.factorize(np.array([canonical(value) for value in values], dtype=object))
        return codes, list(raw)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries().combine_chunks()
    codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, column.dictionary.to_pylist()


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return math.nan
    # float() also reads "1_000", "nan" and "inf", which no table means as numbers
    return number if math.isfinite(number) and "_" not in text else math.nan


def _seconds(stamps: pd.Series) -> np.ndarray:
    microseconds = stamps.dt.as_unit("us").astype("int64").to_numpy() / 1e6
    return np.where(stamps.isna().to_numpy(), np.nan, microseconds)


_READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": lambda path: _from_text(path, read_csv(path)),
    ".jsonl": lambda path: _from_text(path, read_jsonl(path)),
    ".parquet": _read_parquet,
}
