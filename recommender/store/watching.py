"""What a stretch of time looked like beside the one before it: lists, takes, and how far items, histories, scores moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, func, select

from recommender.numerics.drift import ItemBins, item_stability, value_stability
from recommender.store.database import reading
from recommender.store.events import CHOSEN
from recommender.store.store import Store
from recommender.store.tables import events, impressions

#: the latest rows of each kind that a window reads
MOST = 50_000
#: how many times as long the window is that is compared with
REFERENCE = 7.0


@dataclass(frozen=True)
class Watched:
    """What is watched of a window. Drifts are population stability indices against the window before it, None where either
    holds nothing. `coverage`: share of the catalogue that was listed; None if its size is not known. `..._from_training`:
    the same drifts of items against what the model learned from, None where it does not say that."""

    impressions: int
    takes: int
    people: int
    listed_drift: float | None
    taken_drift: float | None
    history_drift: float | None
    score_drift: float | None
    coverage: float | None
    listed_drift_from_training: float | None = None
    taken_drift_from_training: float | None = None

    def told(self) -> dict[str, Any]:
        """Return name -> value."""
        return asdict(self)


@dataclass
class Window:
    """Counts of a stretch of time. `lengths`: events that people had who were shown a list; `scores`: of first items."""

    impressions: int = 0
    takes: int = 0
    listed: Counter[str] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)
    lengths: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)


def read_window(store: Store, start: float, end: float, most: int = MOST) -> Window:
    """Return the counts of [start, end), of people who agree to personal lists; of the latest `most` lists and events."""
    window, shown = Window(), set()
    with reading(store.engine) as connection:
        agreed: dict[str, bool] = {}
        for row, content in _opened(
            store, connection, impressions, (start, end), most, agreed, "impression {0.request_id}"
        ):
            window.impressions += 1
            window.listed.update(content["items"])
            window.scores += content.get("scores", ())[:1]
            shown.add(row.person)
        for _, content in _opened(store, connection, events, (start, end), most, agreed, "event {0.event_id}"):
            if content["kind"] in CHOSEN:
                window.takes += 1
                window.taken[content["item"]] += 1
        window.lengths = _lengths(connection, sorted(shown), end)
    return window


def _opened(
    store: Store,
    connection: Connection,
    table: Table,
    span: tuple[float, float],
    most: int,
    agreed: dict[str, bool],
    place: str,
) -> Iterator[tuple[Any, Any]]:
    within = (table.c.time >= span[0]) & (table.c.time < span[1])
    for row in connection.execute(select(table).where(within).order_by(table.c.time.desc()).limit(most)).all():
        if row.person not in agreed:
            agreed[row.person] = store.consents.of_person(connection, row.person)["recommend"]
        content = None
        if agreed[row.person]:
            content = store.people.opened(connection, row.person, row.sealed, place.format(row))
        if content is not None:
            yield row, content


def _lengths(connection: Connection, persons: Sequence[str], end: float) -> list[float]:
    found: dict[str, int] = dict.fromkeys(persons, 0)
    for start in range(0, len(persons), 500):  # databases limit how many values a statement holds
        some = events.c.person.in_(persons[start : start + 500]) & (events.c.time < end)
        counted = select(events.c.person, func.count()).where(some).group_by(events.c.person)
        found |= {person: int(count) for person, count in connection.execute(counted)}
    return [float(count) for count in found.values()]


def compared(
    window: Window, before: Window, people: int, items: int | None, trained: ItemBins | None = None
) -> Watched:
    """Return what is watched of a window beside the one before it. `items`: size of the catalogue; `trained`: how often the
    model saw each item."""
    return Watched(
        window.impressions,
        window.takes,
        people,
        item_stability(before.listed, window.listed),
        item_stability(before.taken, window.taken),
        value_stability(before.lengths, window.lengths),
        value_stability(before.scores, window.scores),
        len(window.listed) / items if items else None,
        None if trained is None else trained.stability(window.listed),
        None if trained is None else trained.stability(window.taken),
    )


def watched(
    store: Store,
    now: float,
    seconds: float,
    items: int | None,
    trained: ItemBins | None = None,
    reference: float = REFERENCE,
) -> Watched:
    """Return what is watched of the last `seconds`, beside `reference` times as long before them; see `compared`."""
    window = read_window(store, now - seconds, now)
    before = read_window(store, now - seconds * (1 + reference), now - seconds)
    return compared(window, before, len(window.lengths), items, trained)
