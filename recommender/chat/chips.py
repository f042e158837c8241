"""What was understood of a conversation, piece by piece, so that a person can take a piece back.

A chip names one piece, and the last message that says it. Who takes it back un-says it in that message and in those before:
they are read again as if the piece were not in them. Said anew in a later message it is another chip.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from recommender.chat.dialogue_state import DialogueState, items_at_ranks
from recommender.chat.reader import Fact, Reading
from recommender.data.catalogue import Catalogue
from recommender.justify.item_names import display_name

Kind = Literal["only", "without", "toward", "years", "mood", "like", "dislike", "query", "seen", "history"]
Piece = tuple[Kind, Any]
"""A kind, and what was said: an item, a group of facts, a word, or years as ("first" | "last" | "out", year or years)."""

_ID = re.compile(r"(?P<kind>[a-z]+)-(?P<number>\d{1,4})-(?P<digest>[0-9a-f]{12})")
#: fields of a reading that hold items, and places in the last list
_ITEMS: tuple[tuple[Kind, str], ...] = (
    ("history", "history"),
    ("like", "anchors"),
    ("dislike", "dislikes"),
    ("dislike", "refused"),
)
_RANKS: tuple[tuple[Kind, str], ...] = (
    ("like", "ranks_like"),
    ("dislike", "ranks_not"),
    ("seen", "ranks_seen"),
    ("dislike", "ranks_refused"),
)
_GROUPS: tuple[tuple[Kind, str], ...] = (("only", "only"), ("without", "without"), ("toward", "toward"))


@dataclass(frozen=True)
class Chip:
    """One piece that counts at the moment. `text`: in plain words."""

    id: str
    kind: Kind
    text: str

    def to_dict(self) -> dict[str, str]:
        """Return it as plain data."""
        return asdict(self)


class Understood:
    """The pieces that a conversation says, message by message, without those that were taken back."""

    def __init__(self, catalogue: Catalogue, dropped: Iterable[str] = ()) -> None:
        """`dropped`: ids of chips; what is none is ignored."""
        self.catalogue = catalogue
        self._last: dict[Piece, int] = {}
        self._dropped: dict[str, int] = {}
        #: whether anything that was said was taken back
        self.took_back = False
        for match in filter(None, map(_ID.fullmatch, dropped)):
            key = f"{match['kind']}-{match['digest']}"
            self._dropped[key] = max(self._dropped.get(key, -1), int(match["number"]))

    def kept(self, reading: Reading, shown: Sequence[int], number: int) -> Reading:
        """Return what a message says without what was taken back. `shown`: the list that it speaks of."""
        changes: dict[str, Any] = {}
        for kind, name in _ITEMS:
            changes[name] = tuple(item for item in getattr(reading, name) if self.says(kind, item, number))
        for kind, name in _RANKS:
            changes[name] = tuple(
                rank
                for rank in getattr(reading, name)
                if all(self.says(kind, item, number) for item in items_at_ranks([rank], shown))
            )
        for kind, name in _GROUPS:
            changes[name] = tuple(group for group in getattr(reading, name) if self.says(kind, group, number))
        if reading.domains:
            changes["domains"] = reading.domains if self.says("only", reading.domains, number) else ()
        changes["moods"] = tuple(mood for mood in reading.moods if self.says("mood", mood, number))
        return replace(reading, **changes, **self._years(reading, number), query=self._query(reading, number))

    def says(self, kind: Kind, what: Any, number: int) -> bool:
        """Note that a message says something; return whether that counts: it was not taken back."""
        piece = kind, what
        if self._dropped.get(self._key(piece), -1) >= number:
            self.took_back = True
            return False
        self._last[piece] = number
        return True

    def chips(self, state: DialogueState, known: Sequence[int]) -> tuple[Chip, ...]:
        """Return the chips of what counts in a state. `known`: what of its history no message said."""
        pieces = [piece for piece in _pieces(state) if piece in self._last]
        beforehand = set(known)
        return tuple(
            Chip(self._id(piece), piece[0], _text(piece, self.catalogue))
            for piece in pieces
            if not (piece[0] in ("history", "seen") and piece[1] in beforehand)
        )

    def restated(self, state: DialogueState, known: Sequence[int]) -> str:
        """Return in one message what still counts of all that was said: "" for nothing."""
        said = [piece for piece in _pieces(state) if piece in self._last and piece[1] not in known]
        return " ".join(dict.fromkeys(_sentence(piece, self.catalogue) for piece in said))

    def _years(self, reading: Reading, number: int) -> dict[str, Any]:
        first, last = reading.first_year, reading.last_year
        return {
            "first_year": first if first is not None and self.says("years", ("first", first), number) else None,
            "last_year": last if last is not None and self.says("years", ("last", last), number) else None,
            "years_out": tuple(out for out in reading.years_out if self.says("years", ("out", out), number)),
        }

    def _query(self, reading: Reading, number: int) -> str | None:
        return reading.query if reading.query and self.says("query", reading.query, number) else None

    def _id(self, piece: Piece) -> str:
        kind, _, digest = self._key(piece).partition("-")
        return f"{kind}-{self._last[piece]}-{digest}"

    def _key(self, piece: Piece) -> str:
        """Return a text that is the same for the same piece, also where the catalogue has grown."""
        kind, what = piece
        told = self.catalogue[what].item_id if isinstance(what, int) else what
        return f"{kind}-{hashlib.sha256(json.dumps([kind, told]).encode()).hexdigest()[:12]}"


def _pieces(state: DialogueState) -> Iterator[Piece]:
    """Yield everything that counts in a state, as it may have been said."""
    for kind, name in _GROUPS:
        yield from ((kind, group) for group in getattr(state, name))
    if state.domains:
        yield "only", state.domains
    if state.first_year is not None:
        yield "years", ("first", state.first_year)
    if state.last_year is not None:
        yield "years", ("last", state.last_year)
    yield from (("years", ("out", years)) for years in state.years_out)
    yield from (("mood", mood) for mood in state.moods)
    yield from (("like", item) for item in state.anchors)
    yield from (("dislike", item) for item in state.dislikes)
    if state.query is not None:
        yield "query", state.query
    for item in state.history:
        yield "history", item
        yield "seen", item


def _text(piece: Piece, catalogue: Catalogue) -> str:
    kind, what = piece
    match kind:
        case "only" | "without" | "toward":
            values = _values(what)
            return {"only": values, "without": f"no {values}", "toward": f"rather {values}"}[kind]
        case "years":
            return _years_text(*what)
        case "mood":
            return str(what)
        case "query":
            return f"“{what}”"
    name = f"“{display_name(catalogue[what])}”"
    return {"like": f"like {name}", "dislike": f"nothing like {name}", "seen": f"seen: {name}"}.get(
        kind, f"you know or like {name}"
    )


def _sentence(piece: Piece, catalogue: Catalogue) -> str:
    """Return a sentence that says a piece, for a model that listens."""
    kind, what = piece
    match kind:
        case "only":
            return f"It must be {_values(what)}."
        case "without":
            return f"No {_values(what)}."
        case "toward":
            return f"I feel like {_values(what)}."
        case "years":
            return f"From the years: {_years_text(*what)}."
        case "mood":
            return f"Something {what}."
        case "query":
            return f"{what}."
    name = f'"{display_name(catalogue[what])}"'
    verbs = {"like": "Something like", "dislike": "I did not like", "seen": "I have seen"}
    return f"{verbs.get(kind, 'I liked')} {name}."


def _values(group: Sequence[Fact]) -> str:
    return " or ".join(dict.fromkeys(value for _, value in group))


def _years_text(which: str, years: Any) -> str:
    if which == "out":
        return f"not from {' to '.join(map(str, dict.fromkeys(years)))}"
    return f"{years} or {'later' if which == 'first' else 'earlier'}"
