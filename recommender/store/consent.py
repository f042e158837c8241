"""What each person agreed to, by purpose. Who said nothing has what the configuration says."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from sqlalchemy import Connection, Engine, delete, insert, select

from recommender.config import PURPOSES, Purpose
from recommender.store.database import parts, reading, writing
from recommender.store.people import People
from recommender.store.tables import consents


class Consents:
    """The consents of one store."""

    def __init__(self, engine: Engine, people: People, default: Mapping[Purpose, bool]) -> None:
        """`default`: what counts for those who said nothing."""
        self.engine, self.people, self.default = engine, people, dict(default)

    def set(self, user: str, given: Mapping[Purpose, bool]) -> None:
        """Keep what somebody agreed to, or no longer does, for some purposes.

        It is kept of those who were forgotten too: that they are not to be kept must be remembered, and who agrees to
        anything again is welcome again.
        """
        person = self.people.pseudonym(user)
        with writing(self.engine) as connection:
            for purpose, yes in given.items():
                where = (consents.c.person == person) & (consents.c.purpose == purpose)
                connection.execute(delete(consents).where(where))
                row = {"person": person, "purpose": purpose, "given": yes, "time": time.time()}
                connection.execute(insert(consents).values(**row))
            if any(given.values()):
                self.people.welcome(connection, person)

    def of(self, user: str) -> dict[Purpose, bool]:
        """Return what somebody agrees to, purpose by purpose."""
        with reading(self.engine) as connection:
            return self.of_person(connection, self.people.pseudonym(user))

    def of_person(self, connection: Connection, person: str) -> dict[Purpose, bool]:
        """Return what the person behind a pseudonym agrees to; nothing for somebody who was forgotten."""
        if self.people.is_suppressed(connection, person):
            return dict.fromkeys(PURPOSES, False)
        said = connection.execute(select(consents.c.purpose, consents.c.given).where(consents.c.person == person))
        return self.default | {row.purpose: bool(row.given) for row in said}

    def of_people(self, connection: Connection, persons: Collection[str]) -> dict[str, dict[Purpose, bool]]:
        """Return what `of_person` does for each of many pseudonyms."""
        found: dict[str, dict[Purpose, bool]] = {}
        for part in parts(sorted(persons)):
            found |= {person: dict(self.default) for person in part}
            query = select(consents.c.person, consents.c.purpose, consents.c.given).where(consents.c.person.in_(part))
            for row in connection.execute(query):
                found[row.person][row.purpose] = bool(row.given)
            found |= dict.fromkeys(self.people.suppressed_of(connection, part), dict.fromkeys(PURPOSES, False))
        return found

    def who_agrees(self, purpose: Purpose) -> Callable[[str], bool]:
        """Return what says of a pseudonym whether the person agrees to a purpose now; for very many of them.

        Somebody who was forgotten does not; of whom nothing is known, what counts is what counts for all.
        """
        with reading(self.engine) as connection:
            query = select(consents.c.person, consents.c.given).where(consents.c.purpose == purpose)
            said = {row.person: bool(row.given) for row in connection.execute(query)}
        forgotten, default = self.people.forgotten(), self.default[purpose]
        return lambda person: person not in forgotten and said.get(person, default)

    def known(self) -> frozenset[str]:
        """Return the pseudonyms of all of whom anything is kept, be it that they were forgotten."""
        with reading(self.engine) as connection:
            said = {row.person for row in connection.execute(select(consents.c.person))}
        return self.people.forgotten() | said | frozenset(self.people.all())

    def allows(self, user: str, purpose: Purpose) -> bool:
        """Return whether somebody agrees to a purpose."""
        return self.of(user)[purpose]
