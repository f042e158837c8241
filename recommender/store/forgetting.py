"""Forgetting a person: what a store and the files that it knows of hold, all of it or nothing, with a signed receipt.

Files come first, since they can be done again; then one transaction deletes the rows, destroys the key, puts the pseudonym
on the list of the forgotten and writes the audit row, which holds the receipt. A process that is killed before leaves
somebody who is known, and is asked again; one that is killed after leaves a receipt that `receipt_of` makes again.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.sql.schema import Table

from recommender.adapters.shipped import check_present, manifest_digest
from recommender.errors import DataError
from recommender.store.database import reading, tidy, writing
from recommender.store.holdings import Holding, check_can_be_taken_out, take_out
from recommender.store.receipts import signed_receipt
from recommender.store.store import Store
from recommender.store.tables import audit, consents, events, feedback, holdings, impressions, people, suppressed

KIND, MODEL_KIND = "forget", "model"
_OF_A_PERSON: tuple[Table, ...] = (people, events, feedback, impressions, consents, holdings)
#: how often files that are registered meanwhile are looked at again
_TRIES = 20


class UnknownPersonError(DataError):
    """Nothing is kept of somebody."""


class AlreadyForgottenError(DataError):
    """Somebody was forgotten before, or at this moment by another process."""


def forget(
    store: Store, user: str, models: Sequence[Mapping[str, Any]] = (), unknown_too: bool = False
) -> dict[str, Any]:
    """Forget somebody and return the receipt.

    `models`: checkpoints that may have learned from them, which this does not change: the receipt lists them as not yet
    updated. `unknown_too`: put them on the list that trainings read even if the store knows nothing of them. Raises
    UnknownPersonError, AlreadyForgottenError, and DataError for a file that they cannot be taken out of, before anything is
    changed.
    """
    person = store.people.pseudonym(user)
    for _ in range(_TRIES):
        with reading(store.engine) as connection:
            _check_known(connection, person, unknown_too)
            files = store.holdings.of(connection, person)
        outcomes = _taken_out(files, person)
        with writing(store.engine) as connection:
            _check_known(connection, person, unknown_too)
            if {file.number for file in store.holdings.of(connection, person)} == {file.number for file in files}:
                receipt = _forgotten(store, connection, person, outcomes, models)
                break
    else:
        raise DataError("files of this person are written all the time", "end what writes them, and try again")
    tidy(store.engine)
    return receipt


def model_facts(source: str) -> dict[str, str]:
    """Return what a receipt says of a checkpoint: its name, and the sha256 of its manifest. Raises CheckpointError."""
    folder = check_present(source)
    return {"checkpoint": folder.resolve().name, "manifest": manifest_digest(folder)}


def model_receipt(store: Store, relearned: Mapping[str, Any]) -> dict[str, Any]:
    """Return the signed receipt of a checkpoint that goes on without people who were forgotten; a row of the audit log.

    `relearned`: what was done to it. The receipt names by their pseudonyms all who were forgotten until now, whom the
    checkpoint has not learned from.
    """
    with writing(store.engine) as connection:
        statement = {
            "format": 1,
            "what": "a model goes on without people who were forgotten",
            "time": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
            "model": dict(relearned),
            "without": sorted(store.people.forgotten_in(connection)),
        }
        row = store.audit.add(MODEL_KIND, statement, connection)
        return signed_receipt(statement, row, store.audit.signing)


def receipt_of(store: Store, user: str) -> dict[str, Any]:
    """Return the receipt of somebody who was forgotten, from the audit log. Raises DataError if there is none."""
    person = store.people.pseudonym(user)
    with reading(store.engine) as connection:
        rows = connection.execute(
            select(audit.c.number, audit.c.body).where(audit.c.kind == KIND).order_by(audit.c.number.desc())
        )
        for row in rows:
            if (statement := json.loads(row.body))["person"] == person:
                return signed_receipt(statement, row.number, store.audit.signing)
    raise DataError("this person was not forgotten here", "is it the id that their events named?")


def _check_known(connection: Connection, person: str, unknown_too: bool) -> None:
    if any(_count(connection, table, person) for table in _OF_A_PERSON):
        return
    when = connection.execute(select(suppressed.c.time).where(suppressed.c.person == person)).scalar()
    if when is not None:
        day = datetime.fromtimestamp(when, UTC).isoformat(" ", "seconds").removesuffix("+00:00")
        raise AlreadyForgottenError(
            f"this person was forgotten already, {day} UTC", "recommender forget receipt writes the receipt again"
        )
    if not unknown_too:
        raise UnknownPersonError(
            "nothing is kept of this person", "--unknown-too puts them on the list that trainings read all the same"
        )


def _count(connection: Connection, table: Table, person: str) -> int:
    query = select(func.count()).select_from(table).where(table.c.person == person)
    return int(connection.execute(query).scalar_one())


def _taken_out(files: Sequence[Holding], person: str) -> dict[str, dict[str, int]]:
    """Take a person out of files and return kind -> outcome -> how many."""
    for file in files:
        check_can_be_taken_out(file)
    counts = Counter((file.kind, take_out(file, person)) for file in _joined(files))
    outcomes: dict[str, dict[str, int]] = {}
    for (kind, outcome), count in sorted(counts.items()):
        outcomes.setdefault(kind, {})[outcome] = count
    return outcomes


def _joined(files: Sequence[Holding]) -> list[Holding]:
    """Return one holding a file, with all lines that were registered for it."""
    joined: dict[tuple[str, Path], Holding] = {}
    for file in files:
        before = joined.get((file.kind, file.path))
        joined[file.kind, file.path] = file if before is None else replace(file, ids=before.ids + file.ids)
    return list(joined.values())


def _forgotten(
    store: Store, connection: Connection, person: str, files: Mapping[str, Any], models: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    erased = {
        "events": store.events.erase(connection, person),
        "feedback": store.feedback.erase(connection, person),
        "impressions": store.impressions.erase(connection, person),
        "consents": int(connection.execute(delete(consents).where(consents.c.person == person)).rowcount),
        "holdings": store.holdings.erase(connection, person),
    }
    statement = {
        "format": 1,
        "what": "a person was forgotten",
        "person": person,
        "time": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        "erased": erased,
        "key_destroyed": store.people.destroy(connection, person),
        "files": dict(files),
        "suppressed": True,
        "models": [dict(model) | {"state": "not yet updated"} for model in models],
    }
    row = store.audit.add(KIND, statement, connection)
    return signed_receipt(statement, row, store.audit.signing)
