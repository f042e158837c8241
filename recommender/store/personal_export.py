"""All that is kept of one person, as one document for them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from recommender.errors import DataError
from recommender.files import locked, replacing
from recommender.store.database import reading, writing
from recommender.store.store import Store
from recommender.store.tables import audit, consents
from recommender.strict.json_documents import json_text

FORMAT = 1


def export_user(store: Store, user: str, path: Path) -> dict[str, int]:
    """Write all that is kept of a person into a file that only its owner may read, and return how many of what.

    The export itself is told in the audit log, and the file is registered, so that forgetting them removes it. Raises
    DataError for somebody of whom nothing is kept.
    """
    person = store.people.pseudonym(user)
    with reading(store.engine) as connection:
        if store.people.key(connection, person) is None and not _said(connection, person):
            raise DataError("nothing is kept of this person", "is it the id that their events name?")
    with locked(path, "exporting what is kept of a person", wait=True):
        store.holdings.add(user, "export", path)
        with writing(store.engine) as connection:
            store.audit.add("export", {"what": "person", "person": store.people.tag(connection, person)}, connection)
        document = all_of(store, user)
        with replacing(path, private=True) as temporary:
            temporary.touch(0o600)
            temporary.write_text(json_text(document, indent=1) + "\n", encoding="utf-8")
    return {name: len(value) for name, value in document.items() if isinstance(value, list)}


def all_of(store: Store, user: str) -> dict[str, Any]:
    """Return all that is kept of a person; times are ISO 8601, UTC."""
    person = store.people.pseudonym(user)
    with reading(store.engine) as connection:
        files = store.holdings.of(connection, person)
        rows = list(_audit_rows(store, connection, person))
        said = _said(connection, person)
    return {
        "format": FORMAT,
        "user": user,
        "pseudonym": person,
        "made": _iso(datetime.now(UTC).timestamp()),
        "consent": dict(store.consents.of(user)),
        "consent_given": said,
        "events": [event.model_dump(mode="json", exclude_none=True) for event in store.events.of(user)],
        "feedback": [feedback.model_dump(mode="json", exclude_defaults=True) for feedback in store.feedback.of(user)],
        "lists": [
            shown.model_dump(mode="json", exclude_defaults=True) | {"time": _iso(shown.time)}
            for shown in store.impressions.of(user)
        ],
        "files": [{"kind": file.kind, "path": str(file.path), "ids": list(file.ids)} for file in files],
        "audit": rows,
    }


def _said(connection: Connection, person: str) -> list[dict[str, Any]]:
    rows = connection.execute(select(consents).where(consents.c.person == person).order_by(consents.c.purpose))
    return [{"purpose": row.purpose, "given": bool(row.given), "time": _iso(row.time)} for row in rows]


def _audit_rows(store: Store, connection: Connection, person: str) -> Iterator[dict[str, Any]]:
    """Yield the rows that name the person by the tag that their key makes, with the items that it opens."""
    if store.people.key(connection, person) is None:
        return
    tag = store.people.tag(connection, person)
    query = select(audit.c.number, audit.c.time, audit.c.kind, audit.c.body).order_by(audit.c.number)
    for row in connection.execute(query.where(audit.c.body.contains(f'"person":"{tag}"'))):
        body = json.loads(row.body)
        if isinstance(body.get("items"), str):
            body["items"] = store.people.opened(connection, person, base64.b64decode(body["items"]), "audit")
        yield {"number": row.number, "time": _iso(row.time), "kind": row.kind, **body}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
