"""Backup and restore of a store: one file, encrypted by age (pyrage), whole or not at all.

It holds the rows of all tables. What is personal in them is sealed already, and stays so: with the master key lost, or a
person's key destroyed before the backup, it opens nothing. But a backup from before somebody was forgotten holds their
key. So `restore` does not undo what was said since: who was forgotten stays forgotten, the later word on consent counts,
and a key that was revoked stays revoked. The audit log of the present store stays where it goes on from that of the backup:
what was done was done.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyrage
from sqlalchemy import Connection, Engine, Table, delete, func, insert, select, update

from recommender.errors import DataError
from recommender.files import write_bytes
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

_FORMAT = 1
_ROWS_AT_ONCE = 1000
_OF_A_PERSON = (events, feedback, impressions, consents, holdings, people)
_LOG = ("audit", "heads")


def check_encryption(passphrase: str | None, recipient: str | None) -> None:
    """Raise DataError unless there is a passphrase, or an age recipient ("age1...")."""
    if recipient is not None:
        _encrypted(b"", None, recipient)
    elif not passphrase:
        raise DataError("a backup is always encrypted", "give a passphrase, or an age recipient")


def back_up(engine: Engine, path: Path, passphrase: str | None = None, recipient: str | None = None) -> dict[str, int]:
    """Write all rows of a store into one file and return how many of each table.

    Encrypted with a passphrase, or for an age recipient ("age1..."). Raises DataError if it is neither.
    """
    check_encryption(passphrase, recipient)
    with reading(engine) as connection:
        tables = {
            name: [_plain(dict(row._mapping)) for row in connection.execute(select(table))]
            for name, table in metadata.tables.items()
        }
    content = json.dumps({"format": _FORMAT, "tables": tables}).encode()
    write_bytes(path, _encrypted(content, passphrase, recipient))
    return {name: len(rows) for name, rows in tables.items()}


def restore(
    engine: Engine,
    path: Path,
    passphrase: str | None = None,
    identity: str | None = None,
    check: Callable[[Connection], None] = lambda _: None,
) -> dict[str, int]:
    """Put the rows of a backup in the place of those of a store, all or none, and return how many of each table.

    What was forgotten, withdrawn or revoked since stays so. `check`: looks at the restored store and refuses it by an
    error, such as one that no master key at hand opens. Raises DataError for a file that is no backup, or cannot be opened.
    """
    tables = _read(path, passphrase, identity)
    rows = {name: [_typed(row) for row in tables.get(name, [])] for name in metadata.tables}
    with writing(engine) as connection:
        since = _what_stays(connection, rows["audit"])
        for name, table in metadata.tables.items():
            if name not in since.tables:
                connection.execute(delete(table))
                _insert(connection, table, rows[name])
        _apply_again(connection, since)
        renew(connection)
        check(connection)
    return {name: len(part) for name, part in tables.items()}


@dataclass(frozen=True)
class _Since:
    """What a restored backup must not undo: who was forgotten, what people said of consent, which keys were revoked."""

    tables: tuple[str, ...]
    forgotten: frozenset[str]
    suppressed: Sequence[Mapping[str, Any]]
    consents: Sequence[Mapping[str, Any]]
    revoked: Mapping[str, float]


def _what_stays(connection: Connection, log: Sequence[Mapping[str, Any]]) -> _Since:
    stays = _goes_on_from(connection, log)
    later = max((row["number"] for row in log), default=0)
    query = select(audit.c.body).where((audit.c.kind == "forget") & (audit.c.number > later))
    told = [json.loads(body)["person"] for body in connection.execute(query).scalars()] if stays else []
    suppressions = [dict(row._mapping) for row in connection.execute(select(suppressed))]
    return _Since(
        _LOG if stays else (),
        frozenset(told) | {row["person"] for row in suppressions},
        suppressions,
        [dict(row._mapping) for row in connection.execute(select(consents))],
        {row.prefix: row.revoked for row in connection.execute(select(keys).where(keys.c.revoked.is_not(None)))},
    )


def _apply_again(connection: Connection, since: _Since) -> None:
    for person in since.forgotten:
        for table in _OF_A_PERSON:
            connection.execute(delete(table).where(table.c.person == person))
    for row in since.suppressed:
        connection.execute(delete(suppressed).where(suppressed.c.person == row["person"]))
        connection.execute(insert(suppressed).values(**row))
    for row in since.consents:
        where = (consents.c.person == row["person"]) & (consents.c.purpose == row["purpose"])
        restored = connection.execute(select(consents.c.time).where(where)).scalar()
        if restored is None or restored < row["time"]:
            connection.execute(delete(consents).where(where))
            connection.execute(insert(consents).values(**row))
    for prefix, when in since.revoked.items():
        connection.execute(update(keys).where(keys.c.prefix == prefix).values(revoked=when))


def _goes_on_from(connection: Connection, log: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the log of the store begins with that of a backup."""
    if not log:
        return True
    last = max(log, key=lambda row: row["number"])
    kept = connection.execute(select(audit.c.hash).where(audit.c.number == last["number"])).scalar()
    return kept is not None and bytes(kept) == last["hash"]


def _insert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        connection.execute(insert(table), rows[start : start + _ROWS_AT_ONCE])
    if connection.dialect.name == "postgresql" and table.autoincrement_column is not None and rows:
        # PostgreSQL counts apart from the rows, and would give their numbers again
        column = table.autoincrement_column
        sequence = func.pg_get_serial_sequence(table.name, column.name)
        connection.execute(select(func.setval(sequence, max(row[column.name] for row in rows))))


def _encrypted(content: bytes, passphrase: str | None, recipient: str | None) -> bytes:
    try:
        if recipient is not None:
            return bytes(pyrage.encrypt(content, [pyrage.x25519.Recipient.from_str(recipient)]))
    except pyrage.RecipientError as error:
        raise DataError(f"{recipient!r} is no age recipient ({error})", "it looks like age1...") from None
    return bytes(pyrage.passphrase.encrypt(content, passphrase or ""))


def _read(path: Path, passphrase: str | None, identity: str | None) -> dict[str, list[dict[str, Any]]]:
    try:
        sealed = path.read_bytes()
        if identity is not None:
            content = pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(identity)])
        else:
            content = pyrage.passphrase.decrypt(sealed, passphrase or "")
        told = json.loads(content)
        if told["format"] != _FORMAT or not set(told["tables"]) <= set(metadata.tables):
            raise DataError(f"{path}: a backup of another version", "restore it with that version")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}", "give a file that `store backup` wrote") from None
    except (pyrage.DecryptError, pyrage.IdentityError, ValueError, KeyError, TypeError) as error:
        message = f"{path}: cannot be opened as a backup ({error})"
        raise DataError(message, "give its passphrase or identity; the store is as it was") from None
    return dict(told["tables"])


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"base64": base64.b64encode(bytes(value)).decode()} if isinstance(value, bytes | memoryview) else value
        for name, value in row.items()
    }


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: base64.b64decode(value["base64"]) if isinstance(value, dict) else value for name, value in row.items()
    }
