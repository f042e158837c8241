"""Lists that people were shown, joined with what they took of them: events that name the answer in which an item stood."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from recommender.errors import DataError, did_you_mean
from recommender.experiments.results import ShownList
from recommender.store.events import Event, Kind
from recommender.store.impressions import Impression
from recommender.store.store import Store
from recommender.store.training_table import KINDS

#: what counts as taken: more than a look
TAKEN: tuple[Kind, ...] = ("click", "play", "finish", "like", "rate", "buy")


def shown_lists(store: Store, kinds: Collection[str] = TAKEN, since: float = 0.0) -> Iterator[ShownList]:
    """Yield the lists of everybody who agrees to personal lists. `kinds`: events that mean that an item was taken; `since`:
    of lists that were shown then or later, seconds since 1970.

    Raises DataError for a kind that there is not.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise DataError(f"unknown kind {kind!r}", did_you_mean(kind, KINDS) or f"there are {', '.join(KINDS)}")
    for person, shown in store.impressions.by_person():
        lists = [one for one in shown if one.time >= since]
        events = [event for event in store.events.of_person(person) if event.kind in kinds]
        yield from _joined(person, lists, events)


def _joined(person: str, lists: Sequence[Impression], events: Sequence[Event]) -> Iterator[ShownList]:
    """Yield the lists of a person; an event counts where its item stood in the list that it names, and once."""
    taken: dict[str, set[str]] = {}
    for event in events:
        if event.request_id is not None:
            taken.setdefault(event.request_id, set()).add(event.item)
    for one in lists:
        items = taken.get(one.request_id, set())
        places = frozenset(place for place, item in enumerate(one.items) if item in items)
        yield ShownList(person, one.probabilities, places, one.arms, one.others, one.interleaved, one.teams)
