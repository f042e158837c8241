"""Planted errors: a true sentence made false in one place, to see whether a checker notices."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

KINDS = ("name", "never watched", "year", "value")
_YEAR = re.compile(r"(?<=\()\d{4}(?=\))")


@dataclass(frozen=True)
class Planted:
    """A sentence that is false in one place."""

    kind: str
    text: str


@dataclass(frozen=True)
class Room:
    """What can be swapped. `names`: the recommended item first, then the history that the sentence names; `strangers`:
    names of items that are neither; `held`: values that may be said; `foreign`: values that hold for none that is named."""

    names: Sequence[str]
    strangers: Sequence[str]
    held: Collection[str]
    foreign: Sequence[str]


def plant(sentence: str, room: Room, draw: random.Random) -> Planted | None:
    """Return the sentence with an error of a random kind that it has room for, or None."""
    for kind in draw.sample(KINDS, len(KINDS)):
        wrong = _MAKERS[kind](sentence, room, draw)
        if wrong and wrong != sentence:
            return Planted(kind, wrong)
    return None


def _swap(sentence: str, old: str, new: str) -> str:
    return sentence.replace(f'"{old}"', f'"{new}"', 1)


def _name(sentence: str, room: Room, draw: random.Random) -> str | None:
    return _swap(sentence, room.names[0], draw.choice(room.strangers))


def _watched(sentence: str, room: Room, draw: random.Random) -> str | None:
    return _swap(sentence, draw.choice(room.names[1:]), draw.choice(room.strangers)) if room.names[1:] else None


def _year(sentence: str, room: Room, draw: random.Random) -> str | None:
    return _YEAR.sub(lambda found: str(int(found[0]) + draw.choice((-31, -7, -1, 1, 3))), sentence, count=1)


def _value(sentence: str, room: Room, draw: random.Random) -> str | None:
    parts = re.split(r'("[^"]*")', sentence)
    bare = " ".join(part for part in parts if not part.startswith('"'))
    said = [value for value in room.held if re.search(rf"\b{re.escape(value)}\b", bare)]
    if not said or not room.foreign:
        return None
    old, new = draw.choice(sorted(said)), draw.choice(room.foreign)
    return "".join(part if part.startswith('"') else part.replace(old, new) for part in parts)


_MAKERS: dict[str, Callable[[str, Room, random.Random], str | None]] = {
    "name": _name,
    "never watched": _watched,
    "year": _year,
    "value": _value,
}
