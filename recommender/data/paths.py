"""Whether files are where they are said to be: refused before anything is loaded for them. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from recommender import assets
from recommender.errors import DataError, did_you_mean
from recommender.files import check_plain, is_folder, status

Kind = Literal["items", "interactions", "targets"]
REQUEST_SUFFIXES = (".jsonl", ".parquet")


def check_table(source: str | Path, kind: Kind) -> None:
    """Raise DataError unless a table is an embedded data set, or there is a file or folder of that name."""
    path = Path(source)
    if assets.is_embedded(str(source)) or status(path, DataError) is not None:
        return
    beside = [str(other) for other in path.parent.iterdir()] if path.parent.is_dir() else []
    elsewhere = f"say where the table of {kind} is, by its option or in the section data of the config"
    raise DataError(f"{path}: no such file or folder for the {kind}", did_you_mean(str(path), beside) or elsewhere)


def check_requests(source: Path) -> None:
    """Raise DataError unless there is a file of requests, or a folder of such files."""
    if is_folder(source):
        parts_of(source)
        return
    _check_suffix(source)
    check_plain(source, DataError, "give a file of requests")


def parts_of(folder: Path) -> list[Path]:
    """Return the files of a folder of requests, by name; hidden ones and those that begin with _ are none, as for Spark.

    Raises DataError if there is none, or something else: nothing is left out without a word.
    """
    check_folder(folder)
    parts = sorted(path for path in folder.iterdir() if not path.name.startswith((".", "_")))
    for path in parts:
        _check_suffix(path)
    if not parts:
        raise DataError(f"{folder}: holds no .jsonl and no .parquet file", "name a folder of request files")
    return parts


def check_folder(folder: Path) -> None:
    """Raise DataError unless there is a folder."""
    if not is_folder(folder):
        raise DataError(f"{folder}: is no folder of request files", "put the requests into files of a folder")


def check_answers(output: Path) -> None:
    """Raise DataError unless a file of answers can be begun: one that is there is never replaced."""
    _check_suffix(output)
    if not output.absolute().parent.is_dir():
        raise DataError(f"{output.parent}: no such folder", "make it, or name another output")
    if status(output, DataError) is not None:
        raise DataError(f"{output}: is there already", "remove it, or name another output")


def _check_suffix(path: Path) -> None:
    if path.suffix not in REQUEST_SUFFIXES:
        raise DataError(f"{path}: is neither .jsonl nor .parquet", "name a file that ends in one of the two")
