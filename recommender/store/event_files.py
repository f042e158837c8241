"""Events from and to files: JSON lines, CSV, parquet; each is checked before the first is kept."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from recommender.errors import DataError, wrong_fields
from recommender.files import check_input_file, locked, replacing
from recommender.store.events import Event, Events
from recommender.store.store import Store
from recommender.strict.json_documents import JsonError, parse_json

FIELDS = tuple(Event.model_fields)
SUFFIXES = (".jsonl", ".csv", ".parquet")
_NUMBERS = {"value": float, "time": float, "rank": int}
_AT_ONCE = 1000
_FORM = 'one event a line: {"id": "e1", "user": "ann", "item": "50", "kind": "like"}'
_COLUMNS = f"columns {', '.join(FIELDS[:4])}, and if there are: {', '.join(FIELDS[4:])}"


def read_events(path: Path) -> list[Event]:
    """Return the events of a file; the end of its name says how they are written, JSON lines by default.

    Raises DataError that names the first line or row that is none.
    """
    check_input_file(path)
    readers = {".csv": _csv_rows, ".parquet": _parquet_rows}
    rows = readers.get(path.suffix.lower(), _json_rows)(path)
    return [_event(path, place, row) for place, row in rows]


def _json_rows(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield f"line {number}", parse_json(line)
                except JsonError as error:
                    raise DataError(f"{path}: line {number} is no JSON ({error})", _FORM) from None


def _csv_rows(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_columns(path, reader.fieldnames or ())
            for row in reader:
                if None in row or None in row.values():
                    raise DataError(f"{path}: line {reader.line_num} has another number of fields", _COLUMNS)
                yield f"line {reader.line_num}", {name: _number(name, text) for name, text in row.items() if text != ""}
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: is no table of events ({error})", _COLUMNS) from None


def _number(name: str, text: str) -> Any:
    """Return what a cell says: numbers where an event has numbers; what is none is told by the check of the event."""
    if name not in _NUMBERS:
        return text
    try:
        return _NUMBERS[name](text)
    except ValueError:
        return text


def _parquet_rows(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        table = pq.ParquetFile(path)
        _check_columns(path, table.schema_arrow.names)
        number = 0
        for batch in table.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", {name: value for name, value in row.items() if value is not None}
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: is no table of events ({str(error).splitlines()[0]})", _COLUMNS) from None


def _check_columns(path: Path, names: Any) -> None:
    if missing := [name for name in FIELDS[:4] if name not in names]:
        raise DataError(f"{path}: has no column {missing[0]}", _COLUMNS)
    if unknown := [name for name in names if name not in FIELDS]:
        raise DataError(f"{path}: has a column {unknown[0]!r}, which no event has", _COLUMNS)


def _event(path: Path, place: str, row: Any) -> Event:
    try:
        return Event.model_validate(row)
    except ValidationError as error:
        raise DataError(f"{path}: {place} is no event: {wrong_fields(error)}", _FORM) from None


def keep_events(events: Events, given: list[Event]) -> dict[str, int]:
    """Keep events, a thousand at a time, and return how many were kept, known before, and refused.

    After a kill the same file may come again: what was kept is known.
    """
    counts: Counter[str] = Counter()
    for start in range(0, len(given), _AT_ONCE):
        counts.update(events.add(given[start : start + _AT_ONCE]).values())
    return {outcome: counts[outcome] for outcome in ("kept", "known", "refused")}


def check_events_name(path: Path) -> None:
    """Raise DataError for a name that tells no kind of file of events."""
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: the name of a file of events ends in {', '.join(SUFFIXES)}", "name it events.jsonl")


def write_events(store: Store, path: Path) -> dict[str, int]:
    """Write all events that are kept, whole or not at all, people as pseudonyms; returns how many people and events.

    It is registered for everybody in it first, so who is forgotten later is taken out of it.
    """
    check_events_name(path)
    with locked(path, "exporting events", wait=True):
        persons = list(store.people.all())
        for start in range(0, len(persons), _AT_ONCE):
            store.holdings.add_for_all(persons[start : start + _AT_ONCE], "events", path)
        store.audit.add("export", {"what": "all events", "people": len(persons)})
        with replacing(path, private=True) as temporary:
            counts = _WRITERS[path.suffix.lower()](temporary, store.events)
    return counts


def _told(events: Events) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for person, did in events.all():
        yield person, [event.model_dump(mode="json") | {"user": person} for event in did]


def _write_json(path: Path, events: Events) -> dict[str, int]:
    people, rows = 0, 0
    with path.open("w", encoding="utf-8") as file:
        for _, did in _told(events):
            file.writelines(json.dumps({k: v for k, v in row.items() if v is not None}) + "\n" for row in did)
            people, rows = people + bool(did), rows + len(did)
    return {"people": people, "events": rows}


def _write_csv(path: Path, events: Events) -> dict[str, int]:
    people, rows = 0, 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        for _, did in _told(events):
            writer.writerows(did)
            people, rows = people + bool(did), rows + len(did)
    return {"people": people, "events": rows}


def _write_parquet(path: Path, events: Events) -> dict[str, int]:
    types = {"value": pa.float64(), "time": pa.float64(), "rank": pa.int64()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in FIELDS])
    people, rows = 0, 0
    with pq.ParquetWriter(path, schema) as writer:
        for _, did in _told(events):
            if did:
                writer.write_table(pa.Table.from_pylist(did, schema))
            people, rows = people + bool(did), rows + len(did)
    return {"people": people, "events": rows}


_WRITERS: dict[str, Callable[[Path, Events], dict[str, int]]] = {
    ".jsonl": _write_json,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
