"""A table of interactions for training or for others, from the events of who agrees to that: pseudonyms, items, times."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq

from recommender.errors import DataError, did_you_mean
from recommender.files import locked, replacing
from recommender.store.consent import Purpose
from recommender.store.database import reading
from recommender.store.events import CHOSEN, Kind
from recommender.store.store import Store

KINDS: tuple[Kind, ...] = get_args(Kind)
COLUMNS = ("user_id", "item_id", "timestamp")
SUFFIXES = (".csv", ".parquet")
_AT_ONCE = 1000
_Row = tuple[str, str, float]


def check_table_name(path: Path) -> None:
    """Raise DataError for a name that tells no kind of table."""
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: the name of a table ends in {' or '.join(SUFFIXES)}", "name it interactions.parquet")


def write_training_table(
    store: Store, path: Path, kinds: Collection[str] = CHOSEN, purpose: Purpose = "train"
) -> dict[str, int]:
    """Write the table, whole or not at all, and return how many people and rows it has.

    It is registered for everybody in it first: who is forgotten later is taken out of it, and who is forgotten meanwhile is
    taken out as soon as it is whole. `purpose`: what people must agree to, "share" for a table that is handed on. Raises
    DataError for a kind that there is not.
    """
    check_table_name(path)
    for kind in kinds:
        if kind not in KINDS:
            raise DataError(f"unknown kind {kind!r}", did_you_mean(kind, KINDS) or f"there are {', '.join(KINDS)}")
    with locked(path, "exporting events", wait=True):
        agreed, persons = _who_agrees(store, purpose), []
        for start in range(0, len(agreed), _AT_ONCE):  # others write between
            persons += store.holdings.add_for_all(agreed[start : start + _AT_ONCE], "table", path)
        store.audit.add(
            "export", {"what": "events", "purpose": purpose, "people": len(persons), "kinds": sorted(kinds)}
        )
        rows = list(_rows(store, frozenset(persons), frozenset(kinds), purpose))
        with replacing(path) as temporary:
            (_write_csv if path.suffix.lower() == ".csv" else _write_parquet)(temporary, rows)
    return {"people": len({row[0] for row in rows}), "rows": len(rows)}


def _who_agrees(store: Store, purpose: Purpose) -> list[str]:
    with reading(store.engine) as connection:
        return [one for one in store.people.all() if store.consents.of_person(connection, one)[purpose]]


def _rows(store: Store, persons: frozenset[str], kinds: frozenset[str], purpose: Purpose) -> Iterator[_Row]:
    for person, events in store.events.for_training(purpose):
        if person in persons:
            yield from ((person, event.item, event.time or 0.0) for event in events if event.kind in kinds)


def _write_csv(path: Path, rows: list[_Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((person, item, f"{when:.3f}") for person, item, when in rows)


def _write_parquet(path: Path, rows: list[_Row]) -> None:
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    types = (pa.string(), pa.string(), pa.float64())
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
    pq.write_table(pa.table(dict(zip(COLUMNS, arrays, strict=True))), path)
