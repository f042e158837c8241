"""What is in a backup: lines of JSON, some rows in each, so that neither writer nor reader holds more than one line.

The first line names the format, the tables, and the last row of the audit log; then come the rows, table by table; the last
line counts them. Format 1 was one object with the rows of all tables, and is still read, in memory.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recommender.errors import DataError
from recommender.store.backup_encryption import decrypted, telling, write_encrypted

#: rows of one line, and of one statement
ROWS_AT_ONCE = 500
_FORMAT = 2

#: a column's name and its value, of each column of a row
Row = dict[str, Any]
#: the name of a table, and some of its rows
Part = tuple[str, Sequence[Row]]


@dataclass(frozen=True)
class LogEnd:
    """The last row of the audit log: where a log must pass to go on from this one. An empty log ends at row 0."""

    number: int = 0
    hash: bytes = b""


@dataclass(frozen=True)
class Backup:
    """A backup that is read. `parts`: its rows, to be taken once; only with the last one it is sure that all are whole."""

    tables: Sequence[str]
    log: LogEnd
    parts: Iterator[Part]


def write_backup(
    path: Path,
    tables: Sequence[str],
    log: LogEnd,
    parts: Iterable[Part],
    passphrase: str | None = None,
    recipient: str | None = None,
) -> dict[str, int]:
    """Write a backup, whole or not at all, while its rows are read; return how many there are of each table.

    Raises DataError without a passphrase or an age recipient, and what `parts` raises.
    """
    counts = dict.fromkeys(tables, 0)

    def lines() -> Iterator[bytes]:
        yield _line(
            {"format": _FORMAT, "tables": list(tables), "log": _plain({"number": log.number, "hash": log.hash})}
        )
        for table, rows in parts:
            counts[table] += len(rows)
            yield _line({"table": table, "rows": [_plain(row) for row in rows]})
        yield _line({"counts": counts})

    write_encrypted(path, lines(), passphrase, recipient)
    return counts


@contextmanager
def opened_backup(
    path: Path, known: Iterable[str], passphrase: str | None = None, identity: str | None = None
) -> Iterator[Backup]:
    """Yield a backup whose first line is read. `known`: tables that there are.

    Raises DataError, here or at any of its parts, for a file that is no backup, or cannot be opened, or was changed or cut.
    """
    with decrypted(path, passphrase, identity) as lines:
        with telling(path):
            first = json.loads(next(lines, b""))
            if first["format"] not in (1, _FORMAT) or not set(first["tables"]) <= set(known):
                raise DataError(f"{path}: a backup of another version", "restore it with that version")
            backup = _of_format_1(first["tables"]) if first["format"] == 1 else _of_format_2(path, first, lines)
        yield backup


def _of_format_1(tables: Mapping[str, Sequence[Row]]) -> Backup:
    last = max(tables.get("audit", ()), key=lambda row: row["number"], default=None)
    parts = (
        (name, [_typed(row) for row in rows[start : start + ROWS_AT_ONCE]])
        for name, rows in tables.items()
        for start in range(0, len(rows), ROWS_AT_ONCE)
    )
    return Backup(list(tables), LogEnd() if last is None else _log_end(last), parts)


def _of_format_2(path: Path, first: Mapping[str, Any], lines: Iterator[bytes]) -> Backup:
    return Backup(first["tables"], _log_end(first["log"]), _parts(path, first["tables"], lines))


def _parts(path: Path, tables: Sequence[str], lines: Iterator[bytes]) -> Iterator[Part]:
    counts, told = dict.fromkeys(tables, 0), None
    for line in lines:
        with telling(path):
            content = json.loads(line)
            if "counts" in content:
                told = content["counts"]
                continue
            table, rows = content["table"], [_typed(row) for row in content["rows"]]
            counts[table] += len(rows)
        yield table, rows
    with telling(path):
        if told != counts:
            raise ValueError("it has not the rows that it counts")


def _log_end(row: Row) -> LogEnd:
    typed = _typed(row)
    return LogEnd(typed["number"], typed["hash"])


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"


def _plain(row: Row) -> Row:
    return {
        name: {"base64": base64.b64encode(bytes(value)).decode()} if isinstance(value, bytes | memoryview) else value
        for name, value in row.items()
    }


def _typed(row: Row) -> Row:
    return {
        name: base64.b64decode(value["base64"]) if isinstance(value, dict) else value for name, value in row.items()
    }
