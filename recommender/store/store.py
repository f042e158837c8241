"""A store: all that is kept of people, of callers, and of what was done, in one database."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, Engine, func, insert, select

from recommender.files import locked
from recommender.store.audit import AuditLog
from recommender.store.backup import back_up, restore
from recommender.store.backup_encryption import check_encryption
from recommender.store.consent import PURPOSES, Consents, Purpose
from recommender.store.database import open_database, reading, revision, tidy, writing
from recommender.store.events import Events
from recommender.store.feedback_table import FeedbackTable
from recommender.store.holdings import Holdings
from recommender.store.impressions import Impressions
from recommender.store.keys import ApiKeys
from recommender.store.master_keys import MasterKeys
from recommender.store.people import People
from recommender.store.sealing import new_key
from recommender.store.stock import Stock
from recommender.store.tables import facts, heads, metadata, people

_SIGNING = "signing-key"
_DAY = 86_400.0


@dataclass(frozen=True)
class StoreOptions:
    """`consent`: what counts for people who said nothing. `days`: how long events, feedback and lists are kept; None: for
    ever."""

    consent: Mapping[Purpose, bool] = field(default_factory=lambda: dict.fromkeys(PURPOSES, True))
    event_days: float | None = None
    feedback_days: float | None = None
    impression_days: float | None = None


class Store:
    """One store, opened. Several processes may have it open."""

    def __init__(self, engine: Engine, master: MasterKeys, options: StoreOptions | None = None) -> None:
        """Take up an open database. Raises ConfigError for a master key that is not its."""
        self.engine, self.options = engine, options or StoreOptions()
        self.people = People(engine, master)
        self.consents = Consents(engine, self.people, self.options.consent)
        self.events = Events(engine, self.people, self.consents)
        self.feedback = FeedbackTable(engine, self.people)
        self.impressions = Impressions(engine, self.people, self.consents)
        self.audit = AuditLog(engine, self._signing_key())
        self.keys = ApiKeys(engine, self.audit)
        self.holdings = Holdings(engine, self.people)
        self.stock = Stock(engine)

    @classmethod
    def open(cls, where: str | Path, master: str | Path | None = None, options: StoreOptions | None = None) -> Store:
        """Open or make a store; `master`: where its master keys are, see `MasterKeys.read`.

        Raises DataError for what is no store, ConfigError for a master key that is not its.
        """
        keys = MasterKeys.read(master)  # first: a store without its key is not made
        return cls(open_database(where), keys, options)

    def _signing_key(self) -> Ed25519PrivateKey:
        """Return what signs: made with the store, and sealed as a person's key is."""
        with writing(self.engine) as connection:
            seed = self._kept_seed(connection)
            if seed is None:
                seed = new_key()
                connection.execute(insert(facts).values(name=_SIGNING, value=self.people.wrapped(seed, _SIGNING)))
        return Ed25519PrivateKey.from_private_bytes(seed)

    def _kept_seed(self, connection: Connection) -> bytes | None:
        row = connection.execute(select(facts.c.value).where(facts.c.name == _SIGNING)).first()
        return None if row is None else self.people.unwrapped(bytes(row.value), _SIGNING)

    @property
    def public_key(self) -> str:
        """The key by which heads and receipts are checked, as PEM."""
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return self.audit.public.public_bytes(encoding, form).decode()

    def counts(self) -> dict[str, int]:
        """Return how many rows each table has."""
        with reading(self.engine) as connection:
            return {
                name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
                for name, table in metadata.tables.items()
            }

    def back_up(self, path: Path, passphrase: str | None = None, recipient: str | None = None) -> dict[str, int]:
        """Write a backup as `backup.back_up` does, and an audit row of it, which the backup holds too."""
        check_encryption(passphrase, recipient)
        with locked(path, "writing a backup"):
            self.audit.add("backup", {"for": "an age recipient" if recipient else "a passphrase"})
            return back_up(self.engine, path, passphrase, recipient)

    def restore(self, path: Path, passphrase: str | None = None, identity: str | None = None) -> dict[str, int]:
        """Put a backup in the place of what the store holds, as `backup.restore` does, with an audit row of it.

        Raises ConfigError for one that none of the master keys at hand opens; the store is then as it was. Open the store
        again afterwards.
        """

        def taken_up(connection: Connection) -> None:
            seed = self._kept_seed(connection)
            self.people.check_opens(connection)
            if seed is not None:
                log = AuditLog(self.engine, Ed25519PrivateKey.from_private_bytes(seed))
                with path.open("rb") as file:
                    log.add("restore", {"backup": hashlib.file_digest(file, "sha256").hexdigest()}, connection)

        return restore(self.engine, path, passphrase, identity, taken_up)

    def status(self) -> dict[str, Any]:
        """Return what there is: rows of each table, bytes, the tables' revision, master keys, and how far the log is signed.

        `bytes`: of a SQLite store with its journal; None for another database.
        """
        with reading(self.engine) as connection:
            signed = connection.execute(select(func.max(heads.c.size))).scalar() or 0
            masters = connection.execute(select(people.c.master, func.count()).group_by(people.c.master)).all()
        return {
            "database": self.engine.dialect.name,
            "revision": revision(self.engine),
            "bytes": self._bytes(),
            "rows": self.counts(),
            "signed_rows": int(signed),
            "master_key": self.people.master.current,
            "people_by_master_key": {name: int(count) for name, count in masters},
        }

    def _bytes(self) -> int | None:
        path = self.engine.url.database
        if self.engine.dialect.name != "sqlite" or path is None:
            return None
        return sum(part.stat().st_size for part in map(Path, (path, f"{path}-wal")) if part.is_file())

    def sweep(self, now: float | None = None) -> dict[str, int]:
        """Delete what is older than it is to be kept, and return how many rows of what."""
        now, swept = time.time() if now is None else now, {}
        if self.options.event_days is not None:
            swept["events"] = self.events.sweep(now - self.options.event_days * _DAY)
        if self.options.feedback_days is not None:
            swept["feedback"] = self.feedback.sweep(now - self.options.feedback_days * _DAY)
        if self.options.impression_days is not None:
            swept["impressions"] = self.impressions.sweep(now - self.options.impression_days * _DAY)
        if any(swept.values()):
            self.audit.add("sweep", swept)
            tidy(self.engine)
        return swept

    def rotate(self) -> int:
        """Wrap all keys with the current master key, so that an earlier one can go; return how many people's were."""
        rotated = self.people.rotate((_SIGNING,))
        self.audit.add("rotate", {"people": rotated, "master": self.people.master.current})
        return rotated

    def close(self) -> None:
        """Sign what is not signed yet, and let go of the database."""
        self.audit.sign_head()
        self.let_go()

    def let_go(self) -> None:
        """Let go of the database, as a command does that changed nothing worth a signature."""
        self.audit.close()
        self.impressions.close()
        self.engine.dispose()
