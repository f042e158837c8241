"""Backup and restore of a store: one file, encrypted by age (pyrage), whole or not at all.

It holds the rows of all tables, written and read in a stream (`backup_file`, `backup_encryption`), so memory does not grow
with the store. What is personal in them is sealed already, and stays so: with the master key lost, or a person's key
destroyed before the backup, it opens nothing. But a backup from before somebody was forgotten holds their key. So `restore`
does not undo what was said since: who was forgotten stays forgotten, the later word on consent counts, and a key that was
revoked stays revoked. The audit log of the present store stays where it goes on from that of the backup: what was done was
done.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, delete, exists, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from recommender.store.backup_file import ROWS_AT_ONCE, Backup, LogEnd, Part, Row, opened_backup, write_backup
from recommender.store.database import reading, writing
from recommender.store.generations import renew
from recommender.store.tables import (
    audit,
    consents,
    events,
    feedback,
    holdings,
    impressions,
    keys,
    metadata,
    people,
    suppressed,
)

_OF_A_PERSON = (events, feedback, impressions, consents, holdings, people)
_LOG = (audit.name, "heads")
#: tables whose rows stay, unless the backup has a later word
_MERGED = (consents.name, suppressed.name)


def back_up(engine: Engine, path: Path, passphrase: str | None = None, recipient: str | None = None) -> dict[str, int]:
    """Write all rows of a store, as they are at one moment, into one file and return how many of each table.

    Encrypted with a passphrase, or for an age recipient ("age1..."). Raises DataError if it is neither.
    """
    with reading(engine) as connection:
        log, parts = _end_of_log(connection), _kept(connection)
        return write_backup(path, list(metadata.tables), log, parts, passphrase, recipient)


def restore(
    engine: Engine,
    path: Path,
    passphrase: str | None = None,
    identity: str | None = None,
    check: Callable[[Connection], None] = lambda _: None,
) -> dict[str, int]:
    """Put the rows of a backup in the place of those of a store, all or none, and return how many of each table.

    What was forgotten, withdrawn or revoked since stays so. `check`: looks at the restored store and refuses it by an
    error, such as one that no master key at hand opens. Raises DataError for a file that is no backup, cannot be opened, or
    was changed or cut; that may come to light with its last byte only, and then the transaction is taken back.
    """
    with opened_backup(path, metadata.tables, passphrase, identity) as backup, writing(engine) as connection:
        counts = _replace(connection, backup, _what_stays(connection, backup.log))
        renew(connection)
        check(connection)
    return counts


def _end_of_log(connection: Connection) -> LogEnd:
    last = connection.execute(select(audit.c.number, audit.c.hash).order_by(audit.c.number.desc()).limit(1)).first()
    return LogEnd() if last is None else LogEnd(last.number, bytes(last.hash))


def _kept(connection: Connection) -> Iterator[Part]:
    """Yield the rows of all tables; the database hands out some at a time."""
    for name, table in metadata.tables.items():
        found = connection.execute(select(table), execution_options={"yield_per": ROWS_AT_ONCE})
        for rows in found.mappings().partitions():
            yield name, [dict(row) for row in rows]


@dataclass(frozen=True)
class _Since:
    """What a restored backup must not undo, beside what people said of consent: who was forgotten, which keys were revoked.

    `tables`: those of the log, if it stays.
    """

    tables: Sequence[str]
    forgotten: frozenset[str]
    revoked: Mapping[str, float]


def _what_stays(connection: Connection, log: LogEnd) -> _Since:
    stays = _goes_on_from(connection, log)
    query = select(audit.c.body).where((audit.c.kind == "forget") & (audit.c.number > log.number))
    told = [json.loads(body)["person"] for body in connection.execute(query).scalars()] if stays else []
    return _Since(
        _LOG if stays else (),
        frozenset(told) | frozenset(connection.execute(select(suppressed.c.person)).scalars()),
        {row.prefix: row.revoked for row in connection.execute(select(keys).where(keys.c.revoked.is_not(None)))},
    )


def _goes_on_from(connection: Connection, log: LogEnd) -> bool:
    """Return whether the log of the store begins with that of a backup."""
    if not log.number:
        return True
    kept = connection.execute(select(audit.c.hash).where(audit.c.number == log.number)).scalar()
    return kept is not None and bytes(kept) == log.hash


def _replace(connection: Connection, backup: Backup, since: _Since) -> dict[str, int]:
    """Put the rows of a backup in, but for what must not come back, and return how many it has of each table."""
    counts = dict.fromkeys(backup.tables, 0)
    for name, table in metadata.tables.items():
        if name not in (*since.tables, *_MERGED):
            connection.execute(delete(table))
    for name, rows in backup.parts:
        counts[name] += len(rows)
        if name not in since.tables:
            _insert(connection, metadata.tables[name], rows, since.forgotten)
    agreed = consents.c.given & (consents.c.person == suppressed.c.person) & (consents.c.time > suppressed.c.time)
    connection.execute(delete(suppressed).where(exists().where(agreed)))  # they came back since
    for prefix, when in since.revoked.items():
        connection.execute(update(keys).where(keys.c.prefix == prefix).values(revoked=when))
    _count_on(connection)
    return counts


def _insert(connection: Connection, table: Table, rows: Sequence[Row], forgotten: frozenset[str]) -> None:
    if table in _OF_A_PERSON:
        rows = [row for row in rows if row["person"] not in forgotten]
    if rows:
        connection.execute(_merging(connection, table) if table.name in _MERGED else insert(table), rows)


def _merging(connection: Connection, table: Table) -> Any:
    """Return the statement that puts a row in unless the store has a later word, or, of who is suppressed, any."""
    statement = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)
    if table is suppressed:
        return statement.on_conflict_do_nothing()
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={"given": new.given, "time": new.time},
        where=table.c.time <= new.time,
    )


def _count_on(connection: Connection) -> None:
    """Let PostgreSQL number new rows behind those that are there: it counts apart from them, and would number again."""
    if connection.dialect.name != "postgresql":
        return
    for table in metadata.tables.values():
        if (column := table.autoincrement_column) is None:
            continue
        last = connection.execute(select(func.max(column))).scalar()
        if last is not None:
            sequence = func.pg_get_serial_sequence(table.name, column.name)
            connection.execute(select(func.setval(sequence, last)))
