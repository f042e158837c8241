"""Files outside a store that hold what belongs to people, and how one person is taken out of them.

A file is registered before it is written. What names it is sealed with the person's key, for paths may name people too.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import Connection, Engine, delete, insert, select

from recommender.errors import DataError
from recommender.files import locked, replacing
from recommender.store.database import writing
from recommender.store.people import ForgottenError, People
from recommender.store.tables import holdings

#: a decision trace and an export of one person are theirs alone; a batch has a line a request, a table and a file of
#: events a row an event
HoldingKind = Literal["trace", "export", "batch", "table", "events"]
Outcome = Literal["removed", "rewritten", "missing"]
_TASK = "taking a person out of it"
_BY_HAND = "take their lines out of it, or remove it, and forget them again"


@dataclass(frozen=True)
class Holding:
    """A file with something of a person. `ids`: `custom_id` of their lines in a batch."""

    number: int
    kind: HoldingKind
    path: Path
    ids: tuple[str, ...] = ()


class Holdings:
    """The files that one store knows of."""

    def __init__(self, engine: Engine, people: People) -> None:
        self.engine, self.people = engine, people

    def add(self, user: str, kind: HoldingKind, path: Path, ids: Sequence[str] = ()) -> None:
        """Register a file that is about to hold something of a person. Raises ForgottenError."""
        with writing(self.engine) as connection:
            self._add(connection, self.people.pseudonym(user), kind, path, ids)

    def add_for_all(self, persons: Iterable[str], kind: HoldingKind, path: Path) -> list[str]:
        """Register a file for many pseudonyms, and return those who were not forgotten meanwhile."""
        kept = []
        with writing(self.engine) as connection:
            for person in persons:
                try:
                    self._add(connection, person, kind, path, ())
                except ForgottenError:
                    continue
                kept.append(person)
        return kept

    def add_batch(self, path: Path, lines: Mapping[str, Sequence[str]]) -> None:
        """Register the answers of a batch; `lines`: user -> custom_id of each of their requests, all of them or none.

        Raises DataError that names a request of somebody who was forgotten.
        """
        with writing(self.engine) as connection:
            for user, ids in lines.items():
                try:
                    self._add(connection, self.people.pseudonym(user), "batch", path, ids)
                except ForgottenError:
                    message = f"the request {ids[0]!r} names a person who was forgotten"
                    raise DataError(message, "take their requests out of the batch") from None

    def _add(self, connection: Connection, person: str, kind: str, path: Path, ids: Sequence[str]) -> None:
        content = {"path": str(path.resolve()), "ids": list(ids)}
        sealed = self.people.sealed(connection, person, content, "holding")
        connection.execute(insert(holdings).values(person=person, kind=kind, sealed=sealed, time=time.time()))

    def of(self, connection: Connection, person: str) -> list[Holding]:
        """Return the files that are known to hold something of a pseudonym."""
        found = []
        for row in connection.execute(select(holdings).where(holdings.c.person == person).order_by(holdings.c.number)):
            content = self.people.opened(connection, person, row.sealed, "holding")
            found.append(Holding(row.number, row.kind, Path(content["path"]), tuple(content["ids"])))
        return found

    def erase(self, connection: Connection, person: str) -> int:
        """Delete what is known of a pseudonym's files and return how many rows that were."""
        return int(connection.execute(delete(holdings).where(holdings.c.person == person)).rowcount)


def check_can_be_taken_out(holding: Holding) -> None:
    """Raise DataError for a file that a person cannot be taken out of."""
    path, suffixes = holding.path, _WRITERS.get(holding.kind)
    if suffixes is not None and path.exists() and (not path.is_file() or path.suffix.lower() not in suffixes):
        raise DataError(f"{path}: a person cannot be taken out of this file", _BY_HAND)


def take_out(holding: Holding, person: str) -> Outcome:
    """Remove a file of one person, or write it anew without them; again is no error. Raises OSError.

    Whoever writes it at the moment is waited for. What a batch has of its answers so far is removed whole: it counts its
    lines to go on behind the last one.
    """
    path, partial = holding.path, holding.path.with_name(f".{holding.path.name}.partial")
    if not path.parent.is_dir():
        return "missing"
    with locked(path, _TASK, wait=True):
        there, begun = path.is_file(), partial.is_file()
        partial.unlink(missing_ok=True)
        if there and holding.kind in _WRITERS:
            _WRITERS[holding.kind][path.suffix.lower()](path, holding, person)
            return "rewritten"
        path.unlink(missing_ok=True)
    return "removed" if there or begun else "missing"


def _without_lines(path: Path, holding: Holding, _: str) -> None:
    """Leave the lines of other requests as they are, byte by byte; a line that is no JSON is of a write that was cut."""
    gone = set(holding.ids)
    with replacing(path) as temporary, path.open("rb") as source, temporary.open("wb") as target:
        target.writelines(line for line in source if _field(line, "custom_id") not in gone)


def _field(line: bytes, name: str) -> Any:
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content.get(name) if isinstance(content, dict) else None


def _without_csv_rows(path: Path, _: Holding, person: str) -> None:
    with replacing(path) as temporary, path.open(newline="") as source, temporary.open("w", newline="") as target:
        csv.writer(target, lineterminator="\n").writerows(row for row in csv.reader(source) if row[:1] != [person])


def _without_event_lines(path: Path, _: Holding, person: str) -> None:
    with replacing(path, private=True) as temporary, path.open("rb") as source, temporary.open("wb") as target:
        target.writelines(line for line in source if _field(line, "user") != person)


def _without_event_rows(path: Path, _: Holding, person: str) -> None:
    with (
        replacing(path, private=True) as temporary,
        path.open(newline="") as source,
        temporary.open("w", newline="") as to,
    ):
        rows = csv.reader(source)
        header = next(rows, [])
        place = header.index("user")
        writer = csv.writer(to, lineterminator="\n")
        writer.writerows([header, *(row for row in rows if row[place : place + 1] != [person])])


def _without_event_parquet(path: Path, _: Holding, person: str) -> None:
    _keep_rows(path, "user", [person])


def _without_parquet_rows(path: Path, _: Holding, person: str) -> None:
    _keep_rows(path, "user_id", [person])


def _without_parquet_lines(path: Path, holding: Holding, _: str) -> None:
    _keep_rows(path, "custom_id", holding.ids)


def _keep_rows(path: Path, column: str, gone: Sequence[str]) -> None:
    """Write a table anew without the rows that have one of these values in a column; rows without a value stay."""
    table = pq.read_table(path)
    out = pc.is_in(table.column(column).cast(pa.string()), value_set=pa.array(gone, pa.string()))
    with replacing(path) as temporary:
        pq.write_table(table.filter(pc.invert(out)), temporary)


_WRITERS: dict[str, dict[str, Callable[[Path, Holding, str], None]]] = {
    "batch": {".jsonl": _without_lines, ".parquet": _without_parquet_lines},
    "table": {".csv": _without_csv_rows, ".parquet": _without_parquet_rows},
    "events": {".jsonl": _without_event_lines, ".csv": _without_event_rows, ".parquet": _without_event_parquet},
}
