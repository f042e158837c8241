"""What all reports share: versions, tables as bytes, files that are written together."""

from __future__ import annotations

import io
import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table

from recommender.errors import DataError
from recommender.files import locked, write_together

_PACKAGES = ("recommender", "numpy", "scipy", "pandas")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that the numbers depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    """Return a table as the content of a parquet file, without its index."""
    file = io.BytesIO()
    frame.to_parquet(file, index=False)
    return file.getvalue()


def json_bytes(value: Any, ensure_ascii: bool = True) -> bytes:
    """Return a value as the content of a JSON file. Raises ValueError for NaN, which JSON does not know."""
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=ensure_ascii).encode() + b"\n"


def write_files(folder: Path | str, contents: Mapping[str, bytes]) -> Path:
    """Write files into a folder (made if missing) and return it; the last file is replaced last.

    They are written under temporary names first, so that a failure leaves earlier files as they were. Raises DataError
    if the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, "writing a report"):
            write_together(folder, dict(contents))
    except OSError as error:
        message = f"{folder}: the report cannot be written: {error.strerror}"
        raise DataError(message, "give a folder you may write to") from error
    return folder


def terminal_table(title: str, caption: str, first_column: str, min_width: int) -> Table:
    """Return an empty table for the terminal whose first column folds long names."""
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column(first_column, overflow="fold", min_width=min_width)
    return table
