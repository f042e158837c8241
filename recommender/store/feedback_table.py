"""Feedback in a store: sealed for each person, under their pseudonym, and known to all processes that share the store."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select

from recommender.store.database import StoreUnavailableError, reading, writing
from recommender.store.generations import generation, renew
from recommender.store.opinions import Fact, Feedback, HelpfulText, Opinions, WrongText, check_usable
from recommender.store.people import People
from recommender.store.tables import feedback as table

#: whose feedback it is where nobody said
_NOBODY = ""


class FeedbackTable:
    """The feedback of one store. What follows from it is kept in memory, and read on when others add to it."""

    def __init__(self, engine: Engine, people: People) -> None:
        self.engine, self.people = engine, people
        self._lock = threading.Lock()
        self._opinions, self._read_to, self._rows = Opinions(), 0, 0
        self._mark: bytes | None = None
        self.refresh()

    def add(self, feedback: Feedback) -> Feedback:
        """Keep feedback, stamped with the time, and return it. Raises DataError if nothing can follow from it, and
        ForgottenError for somebody who was forgotten."""
        check_usable(feedback)
        stamped = feedback.model_copy(update={"time": datetime.now(UTC).isoformat(timespec="seconds")})
        person = self.people.pseudonym(feedback.user or _NOBODY)
        content = stamped.model_dump(mode="json", exclude={"user"}, exclude_defaults=True)
        content["named"] = feedback.user is not None
        with writing(self.engine) as connection:
            sealed = self.people.sealed(connection, person, content, "feedback")
            connection.execute(insert(table).values(person=person, time=time.time(), sealed=sealed))
        self.refresh()
        return stamped

    def check_writable(self) -> None:
        """Raise OSError if nothing can be added at the moment."""
        try:
            with writing(self.engine):
                return
        except StoreUnavailableError as error:
            raise OSError(error.message) from None

    def refresh(self) -> None:
        """Read what others have added; where something was erased, or a backup restored, all is read anew."""
        with self._lock, reading(self.engine) as connection:
            rows = int(connection.execute(select(func.count()).select_from(table)).scalar_one())
            mark = generation(connection)
            new = connection.execute(select(table).where(table.c.number > self._read_to).order_by(table.c.number)).all()
            if rows != self._rows + len(new) or mark != self._mark:
                self._opinions, self._read_to = Opinions(), 0
                new = connection.execute(select(table).order_by(table.c.number)).all()
            for row in new:
                self._take_in(connection, row)
                self._read_to = row.number
            self._rows, self._mark = rows, mark

    def _take_in(self, connection: Connection, row: Row[Any]) -> None:
        content = self.people.opened(connection, row.person, row.sealed, "feedback")
        if content is not None:
            whose = row.person if content.pop("named") else None
            self._opinions.take_in(Feedback.model_validate(content | {"user": whose}))

    def refused_items(self, user: str | None) -> frozenset[str]:
        """Return the ids of the items that are not for this user."""
        return self._opinions.refused_items(self._person(user))

    def wrong_facts(self, votes: int = 1) -> Mapping[str, frozenset[Fact]]:
        """Return item id -> the facts that at least `votes` users called wrong; all without a name count as one user."""
        return self._opinions.wrong_facts(votes)

    def wrong_texts(self) -> tuple[WrongText, ...]:
        """Return what was called wrong, oldest first, each once a person."""
        return self._opinions.wrong_texts()

    def helpful_texts(self, user: str | None) -> tuple[HelpfulText, ...]:
        """Return what this user called helpful, one entry an item, oldest first, and nothing that they took back."""
        return self._opinions.helpful_texts(self._person(user))

    def _person(self, user: str | None) -> str | None:
        return None if user is None else self.people.pseudonym(user)

    def of(self, user: str) -> list[Feedback]:
        """Return what somebody said, oldest first."""
        person = self.people.pseudonym(user)
        with reading(self.engine) as connection:
            rows = connection.execute(select(table).where(table.c.person == person).order_by(table.c.number)).all()
            opened = [self.people.opened(connection, person, row.sealed, "feedback") for row in rows]
        return [
            Feedback.model_validate({n: v for n, v in one.items() if n != "named"} | {"user": user}) for one in opened
        ]

    def erase(self, connection: Connection, person: str) -> int:
        """Delete what a person said and return how many rows that were."""
        return _gone(connection, int(connection.execute(delete(table).where(table.c.person == person)).rowcount))

    def sweep(self, before: float) -> int:
        """Delete what is older than a time and return how many rows that were."""
        with writing(self.engine) as connection:
            return _gone(connection, int(connection.execute(delete(table).where(table.c.time < before)).rowcount))


def _gone(connection: Connection, rows: int) -> int:
    """Let all processes read anew if rows went, and return how many went."""
    if rows:
        renew(connection)
    return rows
