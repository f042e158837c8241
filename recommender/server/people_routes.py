"""The routes about people: what they did, and what they agree to."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field

from recommender.server.access import caller_of, own_user
from recommender.server.http_errors import HttpError
from recommender.store.consent import Purpose
from recommender.store.events import Event
from recommender.store.store import Store

#: events of one body
MOST_EVENTS = 1000
#: bodies that are kept together
MOST_GROUPS = 64


class EventsBody(BaseModel):
    """Body of /v1/events."""

    model_config = ConfigDict(extra="forbid")
    events: list[Event] = Field(min_length=1, max_length=MOST_EVENTS)


class ConsentBody(BaseModel):
    """Body of /v1/consent: what somebody agrees to, or no longer does, for some purposes."""

    model_config = ConfigDict(extra="forbid")
    user: str | None = Field(None, min_length=1, max_length=200, description="not needed with a person's own token")
    consent: dict[Purpose, bool] = Field(min_length=1)


class PeopleRoutes:
    """Answers of the routes about people."""

    def __init__(self, store: Store | None) -> None:
        self.store = store
        self._waiting: list[tuple[list[Event], asyncio.Future[dict[str, str]]]] = []
        self._keeper: asyncio.Task[None] | None = None

    def _kept(self) -> Store:
        if self.store is None:
            raise HttpError(409, "this server keeps nothing of people; start it with --store", "no_store")
        return self.store

    async def events(self, http: HttpRequest, body: EventsBody) -> dict[str, Any]:
        """Keep what people did, all of it or nothing; the answer comes once it is on disk. An id that comes again changes
        nothing, so whoever has no answer sends it again."""
        store = self._kept()
        for event in body.events:
            own_user(http, event.user)
        outcome = await self._together(store, body.events)
        return {"object": "events", "outcome": outcome}

    async def _together(self, store: Store, given: list[Event]) -> dict[str, str]:
        """Keep events with those of others that came meanwhile: a disk takes one large write as soon as a small one."""
        future: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self._waiting.append((given, future))
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep(store))
        return await future

    async def _keep(self, store: Store) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting[:MOST_GROUPS], self._waiting[MOST_GROUPS:]
            try:
                outcomes = await asyncio.to_thread(store.events.add_all, [given for given, _ in taken])
            except Exception:  # one may make all fail: each is tried alone
                for given, future in taken:
                    await self._keep_alone(store, given, future)
                continue
            for (_, future), outcome in zip(taken, outcomes, strict=True):
                if not future.done():
                    future.set_result(outcome)

    async def _keep_alone(self, store: Store, given: list[Event], future: asyncio.Future[dict[str, str]]) -> None:
        try:
            outcome = await asyncio.to_thread(store.events.add, given)
        except Exception as error:
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(outcome)

    async def consent(self, http: HttpRequest, user: str | None = None) -> dict[str, Any]:
        """Tell what somebody agrees to."""
        store = self._kept()
        whose = self._whose(http, user)
        return {"object": "consent", "user": whose, "consent": await asyncio.to_thread(store.consents.of, whose)}

    async def set_consent(self, http: HttpRequest, body: ConsentBody) -> dict[str, Any]:
        """Keep what somebody agrees to from now on."""
        store = self._kept()
        whose = self._whose(http, body.user)

        def kept() -> None:
            store.consents.set(whose, body.consent)
            store.audit.add("consent", {"caller": caller_of(http).name, "consent": dict(body.consent)})

        await asyncio.to_thread(kept)
        return {"object": "consent", "user": whose, "consent": await asyncio.to_thread(store.consents.of, whose)}

    def _whose(self, http: HttpRequest, user: str | None) -> str:
        whose = own_user(http, user)
        if whose is None:
            raise HttpError(400, "user: whose consent is it?", param="user")
        return whose
