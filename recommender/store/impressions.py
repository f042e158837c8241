"""Which lists people were shown, and with which probability each of their items: what estimates of other lists rest on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Engine, Row, delete, func, insert, select

from recommender.store.consent import Consents
from recommender.store.database import outliving_kills, reading, writing
from recommender.store.people import ForgottenError, People
from recommender.store.tables import impressions

#: how a list came about: the best items; some drawn by chance; two rankings merged; an answer in a conversation, or by a
#: tool, in each of which chance may have had a part
Mode = Literal["best", "explore", "interleave", "chat", "agent"]


class Impression(BaseModel):
    """One list that somebody was shown.

    `probabilities`: of each item, best first, that it stood there given those above it. `model`: digest of its files;
    `adapter`: the name of another ranking adapter. `arms`: experiment -> arm. `others`: experiment -> arm -> the same
    probabilities under another arm of it, as far as they are known. `interleaved`: the experiment whose
    two arms were merged; `teams`: which of them contributed each item, 0 or 1. `scores`: of each item, as it was ranked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    request_id: str = Field(min_length=1, max_length=64)
    items: tuple[str, ...]
    probabilities: tuple[float, ...]
    mode: Mode = "best"
    model: str = ""
    adapter: str | None = None
    arms: dict[str, str] = Field(default_factory=dict)
    others: dict[str, dict[str, tuple[float, ...]]] = Field(default_factory=dict)
    interleaved: str | None = None
    teams: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()
    time: float = 0.0


class Impressions:
    """The lists of one store."""

    def __init__(self, engine: Engine, people: People, consents: Consents) -> None:
        self.engine, self.people, self.consents = engine, people, consents
        self._quick, self._adding = outliving_kills(engine), threading.Lock()

    def close(self) -> None:
        """Let go of the connection that lists are added by."""
        self._quick.dispose()

    def add(self, user: str, shown: Impression) -> bool:
        """Keep a list, and return whether it is kept: of people who agree to personal lists, and were not forgotten."""
        person = self.people.pseudonym(user)
        content = shown.model_dump(mode="json", exclude={"request_id", "time"}, exclude_defaults=True)
        row = {"request_id": shown.request_id, "person": person, "time": shown.time or time.time()}
        with self._adding, writing(self._quick) as connection:
            if not self.consents.of_person(connection, person)["recommend"]:
                return False
            try:
                sealed = self.people.sealed(connection, person, content, _place(shown.request_id))
            except ForgottenError:
                return False
            connection.execute(insert(impressions).values(**row, sealed=sealed))
        return True

    def of(self, user: str) -> list[Impression]:
        """Return the lists that somebody was shown, oldest first."""
        with reading(self.engine) as connection:
            return self._of_person(connection, self.people.pseudonym(user))

    def by_person(self) -> Iterator[tuple[str, list[Impression]]]:
        """Yield the pseudonym and the lists, oldest first, of everybody who was shown some and agrees to that still."""
        with reading(self.engine) as connection:
            persons = connection.execute(select(impressions.c.person).distinct()).scalars().all()
        for person in persons:
            with reading(self.engine) as connection:
                agreed = self.consents.of_person(connection, person)["recommend"]
                shown = self._of_person(connection, person) if agreed else []
            if shown:
                yield person, shown

    def _of_person(self, connection: Connection, person: str) -> list[Impression]:
        query = select(impressions).where(impressions.c.person == person)
        rows = connection.execute(query.order_by(impressions.c.time, impressions.c.number)).all()
        return [_read(row, content) for row, content in self._opened(connection, rows)]

    def _opened(self, connection: Connection, rows: Sequence[Row[Any]]) -> Iterator[tuple[Row[Any], Mapping[str, Any]]]:
        for row in rows:
            content = self.people.opened(connection, row.person, row.sealed, _place(row.request_id))
            if content is not None:
                yield row, content

    def count(self) -> int:
        """Return how many lists are kept."""
        with reading(self.engine) as connection:
            return int(connection.execute(select(func.count()).select_from(impressions)).scalar_one())

    def erase(self, connection: Connection, person: str) -> int:
        """Delete what a person was shown and return how many lists that were."""
        return int(connection.execute(delete(impressions).where(impressions.c.person == person)).rowcount)

    def sweep(self, before: float) -> int:
        """Delete what is older than a time and return how many lists that were."""
        with writing(self.engine) as connection:
            return int(connection.execute(delete(impressions).where(impressions.c.time < before)).rowcount)


def _place(request_id: str) -> str:
    return f"impression {request_id}"


def _read(row: Row[Any], content: Mapping[str, Any]) -> Impression:
    return Impression(request_id=row.request_id, time=row.time, **content)
