"""Planted errors: a true justification made false in one place, to test whether a checker notices."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

KINDS = ("name", "never watched", "year", "value", "crowd")
_MANY_WHO = re.compile(r"\b[Mm]any(?: people| others)? who\b")
_COUNT = re.compile(r"\b\d+(?= people who\b)")
#: what is never true of others
_TOO_MANY = ("everyone who", "most people who", "all who", "nobody who")
_YEAR = re.compile(r"(?<=\()\d{4}(?=\))")


@dataclass(frozen=True)
class PlantedError:
    """A text that is false in one place; kind: one of `KINDS`."""

    kind: str
    text: str


@dataclass(frozen=True)
class Swaps:
    """What an error may swap for what.

    names: of the recommended item, then of the history items that the text names; strangers: names of other items.
    true_values: attribute values of the named items; false_values: values that hold for none of them.
    companions: those of the names that many people had together with the recommended item; not_companions: names of other
    history items.
    """

    names: Sequence[str]
    strangers: Sequence[str]
    true_values: Collection[str]
    false_values: Sequence[str]
    companions: Collection[str] = ()
    not_companions: Sequence[str] = ()


def plant_error(text: str, swaps: Swaps, draw: random.Random) -> PlantedError | None:
    """Return the text with an error of a random kind that is possible in it, or None."""
    for kind in draw.sample(KINDS, len(KINDS)):
        changed = _PLANTERS[kind](text, swaps, draw)
        if changed and changed != text:
            return PlantedError(kind, changed)
    return None


def _swap(text: str, old: str, new: str) -> str:
    return text.replace(f'"{old}"', f'"{new}"', 1)


def _wrong_name(text: str, swaps: Swaps, draw: random.Random) -> str | None:
    return _swap(text, swaps.names[0], draw.choice(swaps.strangers))


def _never_watched(text: str, swaps: Swaps, draw: random.Random) -> str | None:
    return _swap(text, draw.choice(swaps.names[1:]), draw.choice(swaps.strangers)) if swaps.names[1:] else None


def _wrong_year(text: str, swaps: Swaps, draw: random.Random) -> str | None:
    return _YEAR.sub(lambda match: str(int(match[0]) + draw.choice((-31, -7, -1, 1, 3))), text, count=1)


def _wrong_value(text: str, swaps: Swaps, draw: random.Random) -> str | None:
    parts = re.split(r'("[^"]*")', text)
    unquoted = " ".join(part for part in parts if not part.startswith('"'))
    stated = [value for value in swaps.true_values if re.search(rf"\b{re.escape(value)}\b", unquoted)]
    if not stated or not swaps.false_values:
        return None
    old = draw.choice(sorted(stated))
    alike = [new for new in swaps.false_values if _shape(new) == _shape(old)]
    new = draw.choice(alike or list(swaps.false_values))
    spoken = re.compile(rf"\b{re.escape(old)}\b")
    return "".join(part if part.startswith('"') else spoken.sub(lambda _: new, part) for part in parts)


def _shape(value: str) -> tuple[bool, bool]:
    """Return what the English around a value depends on: a capital, a plural."""
    return value[:1].isupper(), value.endswith("s")


def _wrong_crowd(text: str, swaps: Swaps, draw: random.Random) -> str | None:
    """Say of too many people what many did, give another number, or say it of an item that few had together with this."""
    if count := _COUNT.search(text):
        return text[: count.start()] + str(int(count[0]) + draw.choice((-3, 1, 20))) + text[count.end() :]
    if many := _MANY_WHO.search(text):
        stated = [name for name in swaps.names[1:] if name in swaps.companions and f'"{name}"' in text[many.end() :]]
        if stated and swaps.not_companions and draw.random() < 0.5:
            return _swap(text, draw.choice(stated), draw.choice(swaps.not_companions))
        wrong = draw.choice(_TOO_MANY)
        return text[: many.start()] + (wrong if many[0][0] == "m" else wrong.capitalize()) + text[many.end() :]
    if not swaps.names[1:] or not text.endswith("."):
        return None
    name = draw.choice(swaps.names[1:])
    who = draw.choice(_TOO_MANY) if name in swaps.companions else "many who"
    return f'{text[:-1]}, and {who} chose "{name}" also chose "{swaps.names[0]}".'


_PLANTERS: dict[str, Callable[[str, Swaps, random.Random], str | None]] = {
    "name": _wrong_name,
    "never watched": _never_watched,
    "year": _wrong_year,
    "value": _wrong_value,
    "crowd": _wrong_crowd,
}
