"""Planted errors: a true justification made false in one place, to test whether a checker notices."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

KINDS = ("name", "never watched", "year", "value")
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
    """

    names: Sequence[str]
    strangers: Sequence[str]
    true_values: Collection[str]
    false_values: Sequence[str]


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


_PLANTERS: dict[str, Callable[[str, Swaps, random.Random], str | None]] = {
    "name": _wrong_name,
    "never watched": _never_watched,
    "year": _wrong_year,
    "value": _wrong_value,
}
