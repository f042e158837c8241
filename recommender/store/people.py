"""People as a store knows them: a pseudonym for a user id, and a key of their own for all that is kept of them.

The pseudonym is keyed with a secret of the store, the person's key is wrapped by the master key. To forget somebody their
key is destroyed: what was sealed with it cannot be read again, in no copy either.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from recommender.errors import ConfigError, DataError
from recommender.store.database import parts, reading, writing
from recommender.store.master_keys import MasterKeys
from recommender.store.sealing import SealError, new_key, pseudonym, seal, unseal
from recommender.store.tables import facts, people, suppressed

_SECRET = "pseudonym-secret"
_LOST = "give the master key that the store was made with; without it nothing in it can be read"


class ForgottenError(DataError):
    """Somebody who was forgotten, and asked not to be kept."""


class People:
    """Pseudonyms and personal keys of one store."""

    def __init__(self, engine: Engine, master: MasterKeys) -> None:
        """Take up the store's secret, or make it in a new store. Raises ConfigError for a master key that is not its."""
        self.engine, self.master = engine, master
        self._secret = self._take_up_secret()
        self._known: dict[str, tuple[bytes, bytes]] = {}  # pseudonym -> the key as it is kept, and unwrapped

    def _take_up_secret(self) -> bytes:
        with writing(self.engine) as connection:
            row = connection.execute(select(facts.c.value).where(facts.c.name == _SECRET)).first()
            if row is None:
                secret = new_key()
                connection.execute(insert(facts).values(name=_SECRET, value=self.wrapped(secret, _SECRET)))
                return secret
        return self.unwrapped(bytes(row.value), _SECRET)

    def wrapped(self, key: bytes, of: str) -> bytes:
        """Return a key sealed with the current master key; `of`: whose it is."""
        name = self.master.current
        return name.encode() + b":" + seal(self.master.keys[name], key, f"key of {of}")

    def unwrapped(self, wrapped: bytes, of: str) -> bytes:
        """Return a key that a master key sealed. Raises ConfigError where that one is not at hand, or another."""
        name, _, sealed = wrapped.partition(b":")
        key = self.master.keys.get(name.decode("ascii", "replace"))
        if key is None:
            raise ConfigError(f"the store was sealed with the master key {name.decode('ascii', 'replace')!r}", _LOST)
        try:
            return unseal(key, sealed, f"key of {of}")
        except SealError:
            raise ConfigError("the master key is another than that of the store", _LOST) from None

    def pseudonym(self, user: str) -> str:
        """Return what stands for a user id in this store."""
        return pseudonym(self._secret, user)

    def key(self, connection: Connection, person: str) -> bytes | None:
        """Return the key of a pseudonym; None for somebody of whom nothing is kept."""
        row = connection.execute(select(people.c.wrapped_key).where(people.c.person == person)).first()
        if row is None:
            self._known.pop(person, None)
            return None
        wrapped, known = bytes(row.wrapped_key), self._known.get(person)
        if known is None or known[0] != wrapped:  # a restored backup may have another one
            known = self._known[person] = wrapped, self.unwrapped(wrapped, person)
        return known[1]

    def keys(self, connection: Connection, persons: Sequence[str]) -> dict[str, bytes]:
        """Return the keys of many pseudonyms, made where there are none. Raises ForgottenError."""
        found: dict[str, bytes] = {}
        for part in parts(persons):
            query = select(people.c.person, people.c.wrapped_key).where(people.c.person.in_(part))
            for row in connection.execute(query):
                wrapped, known = bytes(row.wrapped_key), self._known.get(row.person)
                if known is None or known[0] != wrapped:
                    known = self._known[row.person] = wrapped, self.unwrapped(wrapped, row.person)
                found[row.person] = known[1]
        return found | {one: self.key_for_writing(connection, one) for one in persons if one not in found}

    def suppressed_of(self, connection: Connection, persons: Sequence[str]) -> set[str]:
        """Return which of at most as many pseudonyms as a statement takes belong to people who were forgotten."""
        query = select(suppressed.c.person).where(suppressed.c.person.in_(persons))
        return set(connection.execute(query).scalars())

    def key_for_writing(self, connection: Connection, person: str) -> bytes:
        """Return the key of a pseudonym, made if there is none. Raises ForgottenError for somebody who was forgotten."""
        if (key := self.key(connection, person)) is not None:
            return key
        if self.is_suppressed(connection, person):
            raise ForgottenError("this person was forgotten and nothing is kept of them", "ask them for consent first")
        key = new_key()
        wrapped = self.wrapped(key, person)
        row = {"person": person, "wrapped_key": wrapped, "master": self.master.current}
        try:
            with connection.begin_nested():
                connection.execute(insert(people).values(**row, created=time.time()))
        except IntegrityError:  # another process was first
            made = self.key(connection, person)
            assert made is not None
            return made
        self._known[person] = wrapped, key
        return key

    def sealed(self, connection: Connection, person: str, content: Any, place: str) -> bytes:
        """Return data that JSON can hold, sealed for a person and a place. Raises ForgottenError."""
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        return seal(self.key_for_writing(connection, person), text.encode(), place)

    def opened(self, connection: Connection, person: str, sealed: bytes, place: str) -> Any:
        """Return what was sealed for a person; None where their key was destroyed. Raises DataError for changed bytes."""
        key = self.key(connection, person)
        if key is None:
            return None
        try:
            return json.loads(unseal(key, bytes(sealed), place))
        except (SealError, ValueError):
            raise DataError(f"{place}: what is kept cannot be opened", "the store was changed from outside") from None

    def tag(self, connection: Connection, person: str) -> str:
        """Return what names a person in the audit log: only their own key can make it, so it tells nothing once that is
        destroyed. Raises ForgottenError."""
        return pseudonym(self.key_for_writing(connection, person), "audit")

    def destroy(self, connection: Connection, person: str) -> bool:
        """Destroy a person's key and put the pseudonym on the list of those who were forgotten; whether there was a key."""
        gone = connection.execute(delete(people).where(people.c.person == person)).rowcount
        self._known.pop(person, None)
        if not self.is_suppressed(connection, person):
            connection.execute(insert(suppressed).values(person=person, time=time.time()))
        return bool(gone)

    def is_suppressed(self, connection: Connection, person: str) -> bool:
        """Return whether a pseudonym belongs to somebody who was forgotten."""
        return connection.execute(select(suppressed.c.person).where(suppressed.c.person == person)).first() is not None

    def forgotten(self) -> frozenset[str]:
        """Return the pseudonyms of all who were forgotten."""
        with reading(self.engine) as connection:
            return self.forgotten_in(connection)

    def forgotten_in(self, connection: Connection) -> frozenset[str]:
        """Return the pseudonyms of all who were forgotten, as a transaction sees them."""
        return frozenset(row.person for row in connection.execute(select(suppressed.c.person)))

    def welcome(self, connection: Connection, person: str) -> None:
        """Take somebody off the list of those who were forgotten: they came back and agreed."""
        connection.execute(delete(suppressed).where(suppressed.c.person == person))

    def check_opens(self, connection: Connection) -> None:
        """Raise ConfigError unless the master keys at hand open the store's secret and everybody's key."""
        row = connection.execute(select(facts.c.value).where(facts.c.name == _SECRET)).first()
        if row is not None:
            self.unwrapped(bytes(row.value), _SECRET)
        for name in connection.execute(select(people.c.master).distinct()).scalars():
            if name not in self.master.keys:
                raise ConfigError(f"people's keys were sealed with the master key {name!r}", _LOST)

    def rotate(self, others: Sequence[str] = (), batch: int = 500) -> int:
        """Wrap every key with the current master key again and return how many people's were; kept batch by batch.

        `others`: names of further keys among the store's facts.
        """
        with writing(self.engine) as connection:
            for name in (_SECRET, *others):
                where = facts.c.name == name
                row = connection.execute(select(facts.c.value).where(where)).first()
                if row is not None:
                    value = self.wrapped(self.unwrapped(bytes(row.value), name), name)
                    connection.execute(update(facts).where(where).values(value=value))
        return sum(self._rotate_some(batch) for _ in iter(self._left, 0))

    def _left(self) -> int:
        with reading(self.engine) as connection:
            query = select(people.c.person).where(people.c.master != self.master.current).limit(1)
            return int(connection.execute(query).first() is not None)

    def _rotate_some(self, batch: int) -> int:
        with writing(self.engine) as connection:
            query = select(people).where(people.c.master != self.master.current).limit(batch)
            rows = connection.execute(query).all()
            for row in rows:
                wrapped = self.wrapped(self.unwrapped(bytes(row.wrapped_key), row.person), row.person)
                changed = {"wrapped_key": wrapped, "master": self.master.current}
                connection.execute(update(people).where(people.c.person == row.person).values(**changed))
            return len(rows)

    def all(self) -> Iterator[str]:
        """Yield the pseudonyms of all of whom something is kept."""
        with reading(self.engine) as connection:
            yield from [row.person for row in connection.execute(select(people.c.person))]
