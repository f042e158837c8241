"""Reading requests from JSONL or parquet, and the partial output that a killed batch goes on with."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recommender.batch.request_lines import BatchLine, read_line
from recommender.errors import DataError
from recommender.files import replacing, write_text

SUFFIXES = (".jsonl", ".parquet")
_ROWS = 1024


def check_suffix(path: Path) -> None:
    """Raise DataError unless a path ends in .jsonl or .parquet."""
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: is neither .jsonl nor .parquet", "name a file that ends in one of the two")


def read_requests(path: Path) -> Iterator[BatchLine]:
    """Yield the requests of a file, in order; a custom_id that stands twice is an error of its second line."""
    check_suffix(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file", "give a file of requests")
    seen: set[str] = set()
    rows = _parquet_rows(path) if path.suffix == ".parquet" else _json_lines(path)
    for number, raw in rows:
        asked = read_line(number, raw)
        if asked.custom_id in seen:
            wrong = f"line {number}: custom_id {asked.custom_id!r} stood on an earlier line"
            asked = BatchLine(number, asked.custom_id, None, wrong, asked.wrapped)
        elif asked.custom_id is not None:
            seen.add(asked.custom_id)
        yield asked


def _json_lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        table = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a parquet file ({str(error).splitlines()[0]})") from None
    number = 0
    for batch in table.iter_batches(_ROWS):
        for row in batch.to_pylist():
            number += 1
            yield number, {name: value for name, value in row.items() if value is not None}


class PartialOutput:
    """The lines written so far, beside the output until it is whole. A line that was cut by a kill is written again."""

    def __init__(self, output: Path, identity: str) -> None:
        """Open or go on with the partial file of `output`. `identity`: what decides its lines.

        Raises DataError if `output` is there already, or if its partial file belongs to another batch.
        """
        check_suffix(output)
        if output.exists():
            raise DataError(f"{output}: is there already", "remove it, or name another output")
        if not output.absolute().parent.is_dir():
            raise DataError(f"{output.parent}: no such folder", "make it, or name another output")
        self.output = output
        self.path = output.with_name(f".{output.name}.partial")
        self._sign(output.with_name(f".{output.name}.identity"), identity)
        self.done = self._whole_lines()
        self._file = self.path.open("a", encoding="utf-8")

    def _sign(self, sign: Path, identity: str) -> None:
        self._identity = sign
        if self.path.exists() and sign.exists() and sign.read_text(encoding="utf-8") != identity:
            raise DataError(
                f"{self.path}: was begun with another input, model or other options",
                f"give those again to go on with it, or remove {self.path} and {sign}",
            )
        write_text(sign, identity)

    def _whole_lines(self) -> int:
        if not self.path.exists():
            return 0
        whole, lines = 0, 0
        with self.path.open("rb+") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                whole, lines = whole + len(line), lines + 1
            file.truncate(whole)
        return lines

    def write(self, lines: Sequence[dict[str, Any]]) -> None:
        """Append lines; they survive a kill once this returns."""
        self._file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Keep the partial file for the next run."""
        self._file.close()

    def finish(self) -> None:
        """Give the output its name; a parquet output is made from the lines first."""
        self.close()
        if self.output.suffix == ".parquet":
            with replacing(self.output) as table:
                _to_parquet(self.path, table)
            self.path.unlink()
        else:
            os.replace(self.path, self.output)
        self._identity.unlink()


def _to_parquet(lines: Path, target: Path) -> None:
    """Write JSON lines as a table: nested evidence as JSON text, since its shape differs from row to row."""
    text = ("items", "notes", "error", "response")
    schema = pa.schema([(name, pa.string()) for name in ("custom_id", "id", *text)])
    with pq.ParquetWriter(target, schema) as writer, lines.open(encoding="utf-8") as file:
        rows: list[dict[str, Any]] = []
        for line in file:
            row = json.loads(line)
            rows.append({k: json.dumps(v, ensure_ascii=False) if k in text and v else v for k, v in row.items()})
            if len(rows) == _ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows = []
        writer.write_table(pa.Table.from_pylist(rows, schema))


def identity(source: Path, *facts: Any) -> str:
    """Return what decides a batch's lines: the input's content and the other facts, as text."""
    digest = hashlib.sha256()
    with source.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return json.dumps([digest.hexdigest(), *map(str, facts)])
