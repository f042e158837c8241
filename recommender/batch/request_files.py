"""Request files, JSONL or parquet, and the partial output that lets a killed batch resume."""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recommender.batch.request_lines import BatchLine, read_line
from recommender.data.formats import one_line
from recommender.data.paths import check_answers, check_requests
from recommender.errors import DataError
from recommender.files import locked, remove_leftovers, replacing, write_bytes, write_text
from recommender.strict.json_documents import json_text

_TABLE_ROWS = 1024
_DAMAGED = re.compile("[\udc80-\udcff]")
#: columns of a parquet output that hold JSON as text, since its shape differs from row to row
_JSON_COLUMNS = ("items", "notes", "error", "response")


def read_requests(path: Path) -> Iterator[BatchLine]:
    """Yield the lines of a request file, in order. The second line with the same custom_id is an error.

    Raises DataError for a file that cannot be read.
    """
    check_requests(path)
    seen: set[str] = set()
    rows = _parquet_rows(path) if path.suffix == ".parquet" else _json_lines(path)
    for number, raw, fault in rows:
        line = _not_utf8(number) if isinstance(raw, str) and _DAMAGED.search(raw) else read_line(number, raw)
        if fault:
            line = BatchLine(number, line.custom_id, None, f"line {number}: {fault}", line.wrapped)
        if line.custom_id in seen:
            error = f"line {number}: custom_id {line.custom_id!r} stood on an earlier line"
            line = BatchLine(number, line.custom_id, None, error, line.wrapped)
        elif line.custom_id is not None:
            seen.add(line.custom_id)
        yield line


def _not_utf8(number: int) -> BatchLine:
    return BatchLine(number, None, None, f"line {number} holds bytes that are no UTF-8; save the file as UTF-8")


def _json_lines(path: Path) -> Iterator[tuple[int, str, str]]:
    with path.open("rb") as file:
        encoding = "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    # bytes that are no UTF-8 become lone surrogates, which text cannot hold: two damaged lines do not look alike
    errors = "replace" if encoding == "utf-16" else "surrogateescape"
    with path.open(encoding=encoding, errors=errors) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line, ""


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any], str]]:
    """Yield (number, row, what is wrong with it or "")."""
    rows: list[tuple[dict[str, Any], str]] = []
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        if repeated := [name for name in names if names.count(name) > 1]:
            raise DataError(f"{path}: column {repeated[0]!r} stands twice", "rename one of the two")
        for batch in file.iter_batches(_TABLE_ROWS):
            rows += _rows(batch)
    except (pa.ArrowException, OSError) as error:
        place = f" from row {len(rows) + 1} on" if rows else ""
        raise DataError(f"{path}: not a readable parquet file{place} ({one_line(error)})") from None
    for number, (row, fault) in enumerate(rows, start=1):
        yield number, {name: _without_nulls(value) for name, value in row.items() if value is not None}, fault


def _rows(batch: pa.RecordBatch) -> list[tuple[dict[str, Any], str]]:
    """Return the rows of a batch, and of each what is wrong with it: a map that has a key twice has no one meaning."""
    try:
        return [(row, "") for row in batch.to_pylist(maps_as_pydicts="strict")]
    except KeyError:
        pass
    rows = []
    named = batch.select([name for name in ("custom_id", "url") if name in batch.schema.names])
    for place in range(len(batch)):
        try:
            rows.append((batch.slice(place, 1).to_pylist(maps_as_pydicts="strict")[0], ""))
        except KeyError:
            rows.append((named.slice(place, 1).to_pylist()[0], "a key stands twice in a map"))
    return rows


def _without_nulls(value: Any) -> Any:
    """Return a cell as it was written: a column of mappings has the keys of all rows, null where a row has not."""
    if isinstance(value, dict):
        return {name: part for name, part in value.items() if part is not None}
    return value


class PartialOutput:
    """The lines written so far, in a hidden file beside the output. A line that a kill cut off is written again."""

    def __init__(self, output: Path, identity: str) -> None:
        """Open the partial file of `output`, which may exist. `identity`: what decides its lines, see `batch_identity`.

        Raises DataError if `output` exists, or if its partial file belongs to another batch; RecommenderError that says who
        writes to it already.
        """
        check_answers(output)
        self.output = output
        self.path = output.with_name(f".{output.name}.partial")
        self._identity_path = output.with_name(f".{output.name}.identity")
        with ExitStack() as stack:
            stack.enter_context(locked(output, "batch"))
            check_answers(output)  # another batch may just have finished it
            self._claim(identity)
            self.lines_done = self._drop_cut_line()
            self._file = self.path.open("a", encoding="utf-8")
            self._held = stack.pop_all()

    def _claim(self, identity: str) -> None:
        path = self._identity_path
        remove_leftovers(path)
        known = path.read_text(encoding="utf-8") if path.exists() else None
        begun = self.path.exists() and (known is not None or self.path.stat().st_size > 0)
        if begun:
            hint = f"give those again to go on with it, or remove {self.path} and {path}"
            check_identity(known, identity, self.path, hint)
        write_text(path, identity)

    def _drop_cut_line(self) -> int:
        """Remove a last line without an end, and return how many lines are left."""
        if not self.path.exists():
            return 0
        if self.path.stat().st_nlink > 1:  # appended to under two names, it would hold two batches
            write_bytes(self.path, self.path.read_bytes())
        size, lines = 0, 0
        with self.path.open("rb+") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                size, lines = size + len(line), lines + 1
            file.truncate(size)
        return lines

    def write(self, lines: Sequence[dict[str, Any]]) -> None:
        """Append lines. They survive a kill once this returns."""
        self._file.writelines(json_text(line) + "\n" for line in lines)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the partial file; the next run resumes it."""
        self._file.close()
        self._held.close()

    def finish(self) -> None:
        """Turn the partial file into the output, by way of a table if that is parquet."""
        self._file.close()
        if self.output.suffix == ".parquet":
            with replacing(self.output) as target:
                write_parquet(self.path, target)
            self.path.unlink()
        else:
            os.replace(self.path, self.output)
        self._identity_path.unlink()
        self.close()


def write_parquet(json_lines: Path, target: Path) -> None:
    """Write lines of answers as a table."""
    texts = [(name, pa.string()) for name in ("custom_id", "id", *_JSON_COLUMNS)]
    schema = pa.schema([*texts, ("generated", pa.bool_())])
    with pq.ParquetWriter(target, schema) as writer, json_lines.open(encoding="utf-8") as file:
        rows: list[dict[str, Any]] = []
        for line in file:
            rows.append(_table_row(json.loads(line)))
            if len(rows) == _TABLE_ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows = []
        writer.write_table(pa.Table.from_pylist(rows, schema))


def _table_row(line: dict[str, Any]) -> dict[str, Any]:
    return {
        name: json_text(value) if name in _JSON_COLUMNS and value is not None else value for name, value in line.items()
    }


def batch_identity(source: Path, *settings: Any, **facts: Any) -> str:
    """Return what decides a batch's lines, as JSON: a hash of the input's content, settings, and facts by their names."""
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return settings_identity(*settings, input=digest, **facts)


def settings_identity(*settings: Any, **facts: Any) -> str:
    """Return settings, and facts by their names, as JSON."""
    return json.dumps({"settings": [*map(str, settings)], **facts}, sort_keys=True)


def check_identity(known: str | None, identity: str, path: Path, hint: str) -> None:
    """Raise DataError that says by what two batches differ, unless what is at `path` belongs to this one."""
    if known != identity:
        raise DataError(
            f"{path}: was begun with another input, model or other options ({_differing(known, identity)})", hint
        )


def _differing(then: str | None, now: str) -> str:
    """Return in words by what two identities differ."""
    try:
        old, new = json.loads(then or ""), json.loads(now)
        names = [name for name in {**new, **old} if old.get(name) != new.get(name)]
    except (ValueError, AttributeError):
        return "nothing says of which it is"
    return f"other {', '.join(names)}"
