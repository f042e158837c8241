"""People at the door of a server: what a caller may ask for whom, what each person agreed to, what they did before.

Without a store nobody is known, and a request says all that it is about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

from starlette.requests import HTTPConnection

from recommender.engine import Engine, Request
from recommender.server.access import own_user
from recommender.server.explanations import ExplanationBody
from recommender.server.http_errors import HttpError
from recommender.server.schemas import ChatBody, RecommendationsBody
from recommender.store.consent import Purpose
from recommender.store.events import CHOSEN, Event
from recommender.store.store import Store

_Body = TypeVar("_Body", RecommendationsBody, ExplanationBody, ChatBody, Request)
#: what somebody does with an item that is not for them
DISMISSED = ("dislike", "hide", "skip")
#: the most recent events of a person that a list is made of
LONGEST_HISTORY = 1000
NOT_PERSONAL = "this person does not agree to personal lists: nothing of their history counts"
NOT_EXPLAINED = "this person does not agree to explanations"


class People:
    """What is known of the people whom requests name."""

    def __init__(self, engine: Engine, store: Store | None) -> None:
        self.engine, self.store = engine, store

    async def prepared(self, http: HTTPConnection, body: _Body) -> tuple[_Body, list[str]]:
        """Return a request as it may be answered, and notes: for the caller's own person, with what the store knows of
        them, without what they do not agree to. Raises HttpError 403."""
        user = own_user(http, body.user)
        if user != body.user:
            body = body.model_copy(update={"user": user})
        return await self.permitted(body)

    async def permitted(self, body: _Body) -> tuple[_Body, list[str]]:
        """Return a request without what the person whom it names does not agree to, with what the store knows of them."""
        user = body.user
        if self.store is None or user is None:
            return body, []
        agreed = await asyncio.to_thread(self.store.consents.of, user)
        changes, notes = _changes(body, agreed)
        if agreed["recommend"]:
            did: list[Event] = await asyncio.to_thread(self.store.events.recent, user, LONGEST_HISTORY)
            if not body.history:
                changes["history"] = tuple(chosen(did, self.engine))
            changes["exclude"] = tuple(dict.fromkeys((*body.exclude, *dismissed(did, self.engine))))
        return body.model_copy(update=changes), notes


def _changes(body: Request | ChatBody, agreed: dict[Purpose, bool]) -> tuple[dict[str, object], list[str]]:
    changes: dict[str, object] = {}
    notes = []
    if not agreed["recommend"]:
        changes["without"] = tuple(dict.fromkeys((*body.without, "history")))
        notes.append(NOT_PERSONAL)
    if body.explain and not agreed["explain"]:
        changes["explain"] = False
        notes.append(NOT_EXPLAINED)
    return changes, notes


def check_explained(notes: Sequence[str]) -> None:
    """Raise HttpError 403 if the notes of a request that asks for nothing but an explanation say that none may be given."""
    if NOT_EXPLAINED in notes:
        raise HttpError(403, NOT_EXPLAINED, "no_consent", "user")


def chosen(events: Sequence[Event], engine: Engine) -> list[str]:
    """Return the ids of items that events say were chosen, in the order of the last choice; others of the catalogue only."""
    items: dict[str, None] = {}
    for event in events:
        items.pop(event.item, None)
        if event.kind in CHOSEN and event.item in engine.catalogue:
            items[event.item] = None
    return list(items)


def dismissed(events: Sequence[Event], engine: Engine) -> list[str]:
    """Return the ids of items of the catalogue that events say were not wanted, and not chosen after."""
    items: dict[str, None] = {}
    for event in events:
        if event.kind in DISMISSED and event.item in engine.catalogue:
            items[event.item] = None
        elif event.kind in CHOSEN:
            items.pop(event.item, None)
    return list(items)
