"""Columns of any origin in a few forms: arrow arrays of plain types, or lists where a column mixes types."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from recommender.data.formats import Column
from recommender.data.written_lists import merged
from recommender.errors import DataError

# as pandas, and parquet written by pandas, call an index that has no name
_UNNAMED = re.compile(r"\s*|Unnamed: \d+(_level_\d+)?|__index_level_\d+__|None|nan", re.ASCII)


def is_unnamed(name: str) -> bool:
    """Return whether a column's name is none: blank, or what pandas calls the index of a table that it wrote."""
    return _UNNAMED.fullmatch(name) is not None


def from_frame(frame: pd.DataFrame) -> dict[str, Column]:
    """Return a frame's columns, and the levels of its index that have names.

    Raises DataError for two names that are one as text: 1 and "1".
    """
    if any(name is not None and name not in frame.columns for name in frame.index.names):
        frame = frame.reset_index(
            [name for name in frame.index.names if name is not None and name not in frame.columns]
        )
    names = list(map(str, frame.columns))
    if repeated := [name for name in names if names.count(name) > 1]:
        raise DataError(
            f"DataFrame: the column name {repeated[0]!r} stands twice, as text and as another type", "rename one"
        )
    columns = {str(name): from_series(frame[name]) for name in frame.columns}
    for name, column in columns.items():
        refuse_doubled_fields("DataFrame", name, column)
    return columns


def refuse_doubled_fields(source: str | Path, name: str, column: Column) -> None:
    """Raise DataError if the records of an arrow column have two fields of one name."""
    field = None if isinstance(column, list) else _doubled_field(column.type)
    if field is not None:
        reason = f"column {name!r} holds records with two fields {field!r}"
        raise DataError(f"{source}: {reason}", "rename one of the two")


def from_series(series: pd.Series) -> Column:
    """Return a pandas column; periods become the moments at which they begin, a column of mixed types a list."""
    if isinstance(series.dtype, pd.CategoricalDtype) and isinstance(series.cat.categories.dtype, pd.PeriodDtype):
        series = series.astype(series.cat.categories.dtype)
    if isinstance(series.dtype, pd.PeriodDtype):
        try:
            series = series.dt.start_time
        except (ValueError, OverflowError):  # beyond the years that nanoseconds reach
            return [None if period is pd.NaT else str(period) for period in series]
    try:
        column = pa.chunked_array([pa.array(series, from_pandas=True)])
    except (pa.ArrowException, TypeError, ValueError, OverflowError):  # a column of mixed types
        return list(series)
    return list(series) if isinstance(column.type, pa.BaseExtensionType) else column


def plain_column(column: pa.ChunkedArray) -> Column:
    """Return an arrow column without a type that only its writer knows: pandas' periods, intervals."""
    if isinstance(column.type, pa.BaseExtensionType):
        series = column.to_pandas()
        return from_series(series) if isinstance(series.dtype, pd.PeriodDtype) else list(series)
    return column


def python_values(column: Column | pa.Array) -> list[Any]:
    """Return a column's values, None where there is none. Short floats stay short: 0.1 is not 0.10000000149.

    Maps are dictionaries; a key that stands twice in one has the list of its values.
    """
    if isinstance(column, list):
        return column
    kind = column.type
    if pa.types.is_dictionary(kind) and not pa.types.is_nested(kind.value_type):
        return python_values(column.cast(kind.value_type))
    values: list[Any] = column.to_pylist()
    return [_restored(value, kind) for value in values] if _is_lossy(kind) else values


def _doubled_field(kind: pa.DataType) -> str | None:
    """Return a name that two fields of one record have in a column of this type, None if there is no such."""
    inner = [kind.field(place) for place in range(kind.num_fields)]
    if pa.types.is_struct(kind):
        names = [field.name for field in inner]
        if repeated := [name for name in names if names.count(name) > 1]:
            return str(repeated[0])
    return next((name for field in inner if (name := _doubled_field(field.type)) is not None), None)


def _is_lossy(kind: pa.DataType) -> bool:
    """Return whether arrow's Python values say less than a column of this type: pairs of maps, digits of short floats."""
    if pa.types.is_map(kind) or pa.types.is_float32(kind) or pa.types.is_float16(kind):
        return True
    return any(_is_lossy(kind.field(place).type) for place in range(kind.num_fields))


def _restored(value: Any, kind: pa.DataType) -> Any:
    """Return a value of arrow's as this type means it."""
    if value is None:
        return None
    if pa.types.is_float32(kind):
        return np.float32(value)
    if pa.types.is_float16(kind):
        return np.float16(value)
    if pa.types.is_map(kind):
        return merged((_restored(key, kind.key_type), _restored(inner, kind.item_type)) for key, inner in value)
    if pa.types.is_struct(kind):
        return {field.name: _restored(value[field.name], field.type) for field in kind}
    if isinstance(value, list):
        return [_restored(inner, kind.value_type) for inner in value]
    return value
