"""What a server did, as rows of the audit log: lists, justifications, feedback. Without a store nothing is written.

A row names the request by its hash, the model by the digests of its files, and the person by a tag that only their own key
can make; the items of a person's list are sealed with that key.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from recommender.engine import Engine, RankedItem
from recommender.server.access import Caller
from recommender.store.database import writing
from recommender.store.people import ForgottenError
from recommender.store.store import Store


def digest(value: Any) -> str:
    """Return the sha256 of data that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


class AuditTrail:
    """Writes what one server does."""

    def __init__(self, engine: Engine, store: Store | None) -> None:
        self.store, self.model = store, digest(dict(engine.files))

    def listed(
        self, caller: Caller, body: BaseModel, user: str | None, items: Sequence[RankedItem], kind: str = "list"
    ) -> None:
        """Write down a list, and what the check said of its justifications."""
        if self.store is None:
            return
        row: dict[str, Any] = {
            "caller": caller.name,
            "request": digest(body.model_dump(mode="json")),
            "model": self.model,
            "verdicts": [verdict(item) for item in items if item.justification is not None],
        }
        ids = [item.item_id for item in items]
        self._write(kind, row, user, ids)

    def told(self, caller: str, opinion: str, user: str | None, item_id: str) -> None:
        """Write down feedback."""
        if self.store is not None:
            self._write("feedback", {"caller": caller, "opinion": opinion}, user, [item_id])

    def _write(self, kind: str, row: dict[str, Any], user: str | None, ids: list[str]) -> None:
        assert self.store is not None
        if user is None:
            self.store.audit.add(kind, row | {"person": None, "items": ids})
            return
        people = self.store.people
        person = people.pseudonym(user)
        try:
            with writing(self.store.engine) as connection:
                sealed = people.sealed(connection, person, ids, "audit")
                tag = people.tag(connection, person)
        except ForgottenError:  # nothing of them is kept: the row says that a list was made, and no more
            self.store.audit.add(kind, row | {"person": None, "items": None, "request": None})
            return
        self.store.audit.add(kind, row | {"person": tag, "items": base64.b64encode(sealed).decode()})


def verdict(item: RankedItem) -> dict[str, Any]:
    """Return what the check said of an item's justification."""
    claims = (item.evidence or {}).get("claims", [])
    false = sum(not claim["true"] for claim in claims)
    return {"written_by": item.written_by, "claims": len(claims), "false": false, "text": digest(item.justification)}
