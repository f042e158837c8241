"""What people did: an append-only list of events, acknowledged once each is on disk, and never kept twice.

An event has an id of the client's choosing. One that comes again, because its acknowledgement was lost, changes nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat
from sqlalchemy import Connection, Engine, Row, delete, func, insert, select

from recommender.data.id_fields import ItemId
from recommender.store.consent import Consents, Purpose
from recommender.store.database import parts, reading, writing
from recommender.store.people import People
from recommender.store.sealing import seal
from recommender.store.tables import events

Kind = Literal["view", "click", "play", "finish", "like", "dislike", "rate", "buy", "skip", "hide", "shown"]

#: what somebody does with an item that is for them
CHOSEN: tuple[Kind, ...] = ("view", "click", "play", "finish", "like", "rate", "buy")


class Event(BaseModel):
    """One thing that somebody did with one item."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    id: str = Field(min_length=1, max_length=200, description="chosen by the client; the same id is kept once")
    user: str = Field(min_length=1, max_length=200)
    item: ItemId = Field(max_length=200)
    kind: Kind
    value: FiniteFloat | None = Field(None, description="a rating, or seconds")
    time: FiniteFloat | None = Field(None, ge=0, description="seconds since 1970; default: when it came")
    request_id: str | None = Field(None, max_length=200, description="the answer in which the item stood")
    rank: int | None = Field(None, ge=1, description="where it stood there")


class Events:
    """The events of one store."""

    def __init__(self, engine: Engine, people: People, consents: Consents) -> None:
        self.engine, self.people, self.consents = engine, people, consents

    def add(self, given: Sequence[Event]) -> dict[str, str]:
        """Keep events, all or none, and return what became of each id: kept, known or refused.

        Refused are those of people who agree to nothing: there is no purpose that they could be kept for.
        """
        return self.add_all([given])[0]

    def add_all(self, groups: Sequence[Sequence[Event]]) -> list[dict[str, str]]:
        """Keep the events of several callers in one transaction, all or none: what is on disk once for all is there sooner.

        Returns for each of them what `add` does.
        """
        now = time.time()
        outcomes: list[dict[str, str]] = []
        rows: dict[str, dict[str, Any]] = {}
        with writing(self.engine) as connection:
            known = self._known(connection, [event.id for given in groups for event in given])
            persons = {event.user: self.people.pseudonym(event.user) for given in groups for event in given}
            agreed = self.consents.of_people(connection, set(persons.values()))
            keys = self.people.keys(connection, [person for person, said in agreed.items() if any(said.values())])
            for given in groups:
                outcome: dict[str, str] = {}
                for event in given:
                    person = persons[event.user]
                    if event.id in known or event.id in rows:
                        outcome.setdefault(event.id, "known")
                    elif person not in keys:
                        outcome[event.id] = "refused"
                    else:
                        rows[event.id] = _sealed_row(keys[person], person, event, now)
                        outcome[event.id] = "kept"
                outcomes.append(outcome)
            if rows:
                connection.execute(insert(events), list(rows.values()))
        return outcomes

    def _known(self, connection: Connection, ids: Sequence[str]) -> set[str]:
        known: set[str] = set()
        for part in parts(ids):
            known |= set(connection.execute(select(events.c.event_id).where(events.c.event_id.in_(part))).scalars())
        return known

    def of(self, user: str) -> list[Event]:
        """Return what somebody did, oldest first."""
        person = self.people.pseudonym(user)
        with reading(self.engine) as connection:
            return [self._opened(connection, row, user) for row in self._rows(connection, person)]

    def recent(self, user: str, most: int) -> list[Event]:
        """Return the latest things that somebody did, at most so many, oldest first."""
        person = self.people.pseudonym(user)
        query = select(events).where(events.c.person == person)
        latest = query.order_by(events.c.time.desc(), events.c.number.desc()).limit(most)
        with reading(self.engine) as connection:
            return [self._opened(connection, row, user) for row in reversed(connection.execute(latest).all())]

    def after(self, number: int, most: int) -> tuple[list[tuple[str, Event]], int]:
        """Return (pseudonym, event) of what came after the event of a number, in that order, and the last number looked at.

        `most`: look at so many. Events of those who do not agree to training are passed over.
        """
        query = select(events).where(events.c.number > number).order_by(events.c.number).limit(most)
        found = []
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
            agreed: dict[str, bool] = {}
            for row in rows:
                if row.person not in agreed:
                    agreed[row.person] = self.consents.of_person(connection, row.person)["train"]
                if agreed[row.person]:
                    found.append((row.person, self._opened(connection, row, row.person)))
        return found, rows[-1].number if rows else number

    def all(self) -> Iterator[tuple[str, list[Event]]]:
        """Yield pseudonym and events, oldest first, of everybody of whom something is kept."""
        for person in list(self.people.all()):
            with reading(self.engine) as connection:
                yield person, [self._opened(connection, row, person) for row in self._rows(connection, person)]

    def of_person(self, person: str) -> list[Event]:
        """Return what the person behind a pseudonym did, oldest first; the pseudonym stands for the user."""
        with reading(self.engine) as connection:
            return [self._opened(connection, row, person) for row in self._rows(connection, person)]

    def _rows(self, connection: Connection, person: str) -> Sequence[Row[Any]]:
        query = select(events).where(events.c.person == person).order_by(events.c.time, events.c.number)
        return connection.execute(query).all()

    def _opened(self, connection: Connection, row: Row[Any], user: str) -> Event:
        content = self.people.opened(connection, row.person, row.sealed, f"event {row.event_id}")
        return Event(id=row.event_id, user=user, time=row.time, **content)

    def for_training(self, purpose: Purpose = "train") -> Iterator[tuple[str, list[Event]]]:
        """Yield pseudonym and events, oldest first, of everybody who agrees to training, or to another purpose."""
        for person in list(self.people.all()):
            with reading(self.engine) as connection:
                if self.consents.of_person(connection, person)[purpose]:
                    yield person, [self._opened(connection, row, person) for row in self._rows(connection, person)]

    def count(self) -> int:
        """Return how many events are kept."""
        with reading(self.engine) as connection:
            return int(connection.execute(select(func.count()).select_from(events)).scalar_one())

    def erase(self, connection: Connection, person: str) -> int:
        """Delete what is kept of a person and return how many events that were."""
        return int(connection.execute(delete(events).where(events.c.person == person)).rowcount)

    def sweep(self, before: float) -> int:
        """Delete what is older than a time and return how many events that were."""
        with writing(self.engine) as connection:
            return int(connection.execute(delete(events).where(events.c.time < before)).rowcount)


def _sealed_row(key: bytes, person: str, event: Event, now: float) -> dict[str, Any]:
    content = event.model_dump(mode="json", exclude={"id", "user", "time"}, exclude_none=True)
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    sealed = seal(key, text.encode(), f"event {event.id}")
    return {"event_id": event.id, "person": person, "time": now if event.time is None else event.time, "sealed": sealed}
