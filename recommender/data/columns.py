"""Columns of any origin in a few forms: arrow arrays of plain types, or lists where a column mixes types."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from recommender.data.formats import Column
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
    return {str(name): from_series(frame[name]) for name in frame.columns}


def from_series(series: pd.Series) -> Column:
    """Return a pandas column; periods become the moments at which they begin, a column of mixed types a list."""
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
    """Return a column's values, None where there is none. Short floats stay short: 0.1 is not 0.10000000149."""
    if isinstance(column, list):
        return column
    if pa.types.is_float32(column.type) or pa.types.is_float16(column.type):
        valid = column.is_valid().to_pylist()
        kind = np.float32 if pa.types.is_float32(column.type) else np.float16
        values = column.to_pylist()
        return [kind(value) if present else None for value, present in zip(values, valid, strict=True)]
    return column.to_pylist(maps_as_pydicts="lossy") if pa.types.is_nested(column.type) else column.to_pylist()
