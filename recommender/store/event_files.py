"""Events from a file of JSON lines, each checked before the first is kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pydantic import ValidationError

from recommender.errors import DataError, wrong_fields
from recommender.files import check_input_file
from recommender.store.events import Event, Events
from recommender.strict.json_documents import JsonError, parse_json

_AT_ONCE = 1000
_FORM = 'one event a line: {"id": "e1", "user": "ann", "item": "50", "kind": "like"}'


def read_events(path: Path) -> list[Event]:
    """Return the events of a file. Raises DataError that names the first line that is none."""
    check_input_file(path)
    events = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                events.append(_event(path, number, line))
    return events


def _event(path: Path, number: int, line: bytes) -> Event:
    try:
        return Event.model_validate(parse_json(line))
    except JsonError as error:
        raise DataError(f"{path}: line {number} is no JSON ({error})", _FORM) from None
    except ValidationError as error:
        raise DataError(f"{path}: line {number} is no event: {wrong_fields(error)}", _FORM) from None


def keep_events(events: Events, given: list[Event]) -> dict[str, int]:
    """Keep events, a thousand at a time, and return how many were kept, known before, and refused.

    After a kill the same file may come again: what was kept is known.
    """
    counts: Counter[str] = Counter()
    for start in range(0, len(given), _AT_ONCE):
        counts.update(events.add(given[start : start + _AT_ONCE]).values())
    return {outcome: counts[outcome] for outcome in ("kept", "known", "refused")}
