"""What a server did, as rows of the audit log: lists, justifications, feedback. Without a store nothing is written.

A row names the request by its hash, the model by the digests of its files, and the person by a tag that only their own key
can make; the items of a person's list are sealed with that key.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from recommender.engine import Engine, RankedItem
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
        self,
        caller: str | None,
        body: BaseModel,
        user: str | None,
        items: Sequence[RankedItem],
        kind: str = "list",
    ) -> None:
        """Write down a list, and what the check said of its justifications."""
        verdicts = [verdict(i.justification, i.written_by, i.evidence) for i in items if i.justification is not None]
        self._answered(kind, caller, body, user, [item.item_id for item in items], verdicts)

    def explained(self, caller: str | None, body: BaseModel, user: str | None, told: Mapping[str, Any]) -> None:
        """Write down an answer to a question about a list, and what the check said of its sentence, if it has one."""
        ids = [told["item_id"]] if isinstance(told.get("item_id"), str) else []
        sentence = told.get("justification")
        checked = [] if sentence is None else [verdict(sentence, told.get("written_by"), told.get("evidence"))]
        self._answered("explained", caller, body, user, ids, checked)

    def _answered(
        self,
        kind: str,
        caller: str | None,
        body: BaseModel,
        user: str | None,
        ids: list[str],
        verdicts: list[dict[str, Any]],
    ) -> None:
        if self.store is not None:
            request = digest(body.model_dump(mode="json"))
            row = {"caller": caller, "request": request, "model": self.model, "verdicts": verdicts}
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


def verdict(sentence: str | None, written_by: str | None, evidence: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the check said of a justification."""
    claims = (evidence or {}).get("claims", [])
    false = sum(not claim["true"] for claim in claims)
    return {"written_by": written_by, "claims": len(claims), "false": false, "text": digest(sentence)}
