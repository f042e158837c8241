"""Planted faults: a good justification made broken English, a tautology or an empty phrase, which a checker must refuse."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recommender.eval.planted_errors import PlantedError

FAULT_KINDS = (
    "missing verb",
    "wrong article",
    "doubled word",
    "wrong number",
    "tautology",
    "title twice",
    "vacuous",
)
#: verbs without which a sentence of a justification is broken, wherever it stands
_VERB = re.compile(
    r"\b(?:is|are|was|were|try|suggest|recommend|watched|saw|chose|picked|read|heard|stars|leads|lead|points|point|goes"
    r"|follows|joins|suit|belongs|(?<=might )like|(?<=may )like|(?<=might )enjoy|(?<=may )enjoy|(?<=could )try"
    r"|directed(?= NAME)|wrote(?= NAME)|star(?= in))\b"
)
_WORD = re.compile(r"(?<![\w'’-])[A-Za-z]{2,}(?![\w'’-])")
_NUMBER = {
    "is": "are",
    "are": "is",
    "was": "were",
    "were": "was",
    "stars in": "star in",
    "leads": "lead",
    "points": "point",
}
_NAME = re.compile(r'"[^"]*"')


@dataclass(frozen=True)
class Room:
    """What faults are planted with.

    names: of the recommended item, then of the history items that the text names. verb, one, many: what people did with an
    item and what it is called, as in "watched", "film", "films". decade: that all named items share, if they do. telling:
    whether the text says something that is worth saying.
    """

    names: Sequence[str]
    verb: str
    one: str
    many: str
    decade: str | None = None
    telling: bool = False


def plant_fault(text: str, room: Room, draw: random.Random) -> PlantedError | None:
    """Return the text with a fault of a random kind that is possible in it, or None."""
    for kind in draw.sample(FAULT_KINDS, len(FAULT_KINDS)):
        changed = _PLANTERS[kind](text, room, draw)
        if changed and changed != text:
            return PlantedError(kind, changed[:1].upper() + changed[1:])
    return None


def _outside(text: str, pattern: re.Pattern[str]) -> list[tuple[int, int]]:
    """Return where a pattern matches beside the names, which it sees as NAME of the same length."""
    masked = _NAME.sub(lambda match: "NAME".ljust(len(match[0]), "_"), text)
    return [match.span() for match in pattern.finditer(masked) if "NAME" not in match[0]]


def _missing_verb(text: str, room: Room, draw: random.Random) -> str | None:
    places = _outside(text, _VERB)
    if not places:
        return None
    start, end = draw.choice(places)
    return " ".join(f"{text[:start]}{text[end:]}".split())


def _wrong_article(text: str, room: Room, draw: random.Random) -> str | None:
    places = _outside(text, re.compile(r"\b[Aa]n? (?=[a-z])"))
    if not places:
        return None
    start, end = draw.choice(places)
    word = text[start : end - 1]
    return f"{text[:start]}{word[0] if word[1:] else f'{word}n'}{text[end - 1 :]}"


def _doubled_word(text: str, room: Room, draw: random.Random) -> str | None:
    places = _outside(text, _WORD)
    if not places:
        return None
    start, end = draw.choice(places)
    return f"{text[:end]} {text[start:end].lower() if not start else text[start:end]}{text[end:]}"


def _wrong_number(text: str, room: Room, draw: random.Random) -> str | None:
    options = [
        *((place, new) for old, new in _NUMBER.items() for place in _outside(text, re.compile(rf"\b{old}\b"))),
        *((place, "are a") for place in _outside(text, re.compile(r"\bare\b(?! a)"))),
        *((place, room.one) for place in _outside(text, re.compile(rf"(?<=more ){room.many}\b"))),
        *((place, room.many) for place in _outside(text, re.compile(rf"(?<=\ba ){room.one}\b"))),
    ]
    if not options:
        return None
    (start, end), new = draw.choice(options)
    return f"{text[:start]}{new}{text[end:]}"


def _tautology(text: str, room: Room, draw: random.Random) -> str | None:
    if len(room.names) < 2:
        return f'"{room.names[0]}" is like "{room.names[0]}".'
    item, other = room.names[:2]
    return draw.choice(
        [
            f'"{item}" is like "{other}" in your history, like "{other}".',
            f'{text.rstrip(".!")}, like "{other}".',
            f'{text.rstrip(".!")}, because you {room.verb} "{other}".',
        ]
    )


def _title_twice(text: str, room: Room, draw: random.Random) -> str | None:
    name = f'"{draw.choice(list(room.names))}"'
    return text.replace(name, f"{name}{draw.choice([' ', ', ', ' and '])}{name}", 1)


def _vacuous(text: str, room: Room, draw: random.Random) -> str | None:
    if not room.telling or len(room.names) < 2:
        return None
    item, *others = room.names
    history = " and ".join(f'"{name}"' for name in others[:2])
    named = "both" if len(others[:2]) == 1 else "all of them"
    did = f"you {room.verb} {history}"
    empty = [f'Because {did}, try "{item}".', f'{did}, so you might like "{item}".']
    if room.decade:
        empty.append(f'{did}, so try "{item}": {named} are from the {room.decade}.')
        empty.append(f'"{item}" may suit you since {did}, and {named} are {room.many} from the {room.decade}.')
    return draw.choice(empty)


_PLANTERS: dict[str, Callable[[str, Room, random.Random], str | None]] = {
    "missing verb": _missing_verb,
    "wrong article": _wrong_article,
    "doubled word": _doubled_word,
    "wrong number": _wrong_number,
    "tautology": _tautology,
    "title twice": _title_twice,
    "vacuous": _vacuous,
}
