"""Conversations of which it is known what was recommended next: read from JSON lines, for tuning and for measuring."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recommender.data.catalogue import Catalogue
from recommender.errors import DataError
from recommender.files import check_input_file

#: of every so many dialogues one is for tuning; the others are reported
TUNED_OF = 3
#: characters of a case by which others are known to go on from it
_TELLING = 40


@dataclass(frozen=True)
class Turn:
    """What one of the two said. `role`: user or assistant."""

    role: str
    content: str

    def as_message(self) -> dict[str, str]:
        """Return the turn as a chat message."""
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True)
class Case:
    """A conversation up to where something is recommended.

    `named`: catalogue indices of the items that were named before, `targets`: of those that were recommended then. `number`:
    its line in the file, from 1.
    """

    number: int
    turns: tuple[Turn, ...]
    named: tuple[int, ...]
    targets: tuple[int, ...]

    def said(self, role: str | None = None) -> str:
        """Return all that was said, or all that one role said, in one text."""
        return " ".join(turn.content for turn in self.turns if role in (None, turn.role))


def read_cases(path: Path, catalogue: Catalogue) -> list[Case]:
    """Read a file with one object a line: `messages` ({"role", "content"}), `named` and `targets` (item ids).

    Raises DataError that names line and field for what has another form, for ids that the catalogue lacks, and for a file
    without cases.
    """
    check_input_file(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8", "save it as UTF-8") from None
    indices = {item_id: index for index, item_id in enumerate(catalogue.item_ids)}
    cases = [_case(f"{path}, line {n}", n, line, indices) for n, line in enumerate(lines, 1) if line.strip()]
    if not cases:
        raise DataError(f"{path}: holds no case", "expected one JSON object a line")
    return cases


def split(cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """Return the cases for tuning, those of every third dialogue, and those that are reported. Raises DataError if there
    are none of these.

    A dialogue may be cut at several places: what is named later in it was recommended before, so its cases stay together.
    """
    numbers = dialogue_numbers(cases)
    if len(set(numbers)) < 2:
        raise DataError(
            "a single dialogue is for tuning, and none is left to be measured", "give two dialogues or more"
        )
    pairs = list(zip(cases, numbers, strict=True))
    tuned = [case for case, number in pairs if number % TUNED_OF == 0]
    return tuned, [case for case, number in pairs if number % TUNED_OF]


def dialogue_numbers(cases: Sequence[Case]) -> list[int]:
    """Return the number of each case's dialogue, counted from 0 in their order: a case goes on from another one whose words
    it begins with. Very short cases are dialogues of their own: many begin alike."""
    texts = [" ".join(case.said().split()) for case in cases]
    begins, first = list(range(len(cases))), -1
    for place in sorted(range(len(cases)), key=lambda place: texts[place]):
        if first >= 0 and len(texts[first]) >= _TELLING and texts[place].startswith(texts[first]):
            begins[place] = first
        else:
            first = place
    order = {begin: number for number, begin in enumerate(dict.fromkeys(begins))}
    return [order[begin] for begin in begins]


def _case(where: str, number: int, line: str, indices: Mapping[str, int]) -> Case:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON ({error})", "expected one JSON object a line") from None
    if not isinstance(fields, Mapping):
        raise DataError(f"{where}: expected an object", 'with "messages", "named" and "targets"')
    turns = _turns(where, fields.get("messages"))
    named, targets = (_items(where, name, fields.get(name), indices) for name in ("named", "targets"))
    if not set(targets) - set(named):
        raise DataError(f"{where}: targets: every one was named before", "leave the case out")
    return Case(number, turns, named, tuple(item for item in targets if item not in named))


def _turns(where: str, messages: Any) -> tuple[Turn, ...]:
    form = 'a list of {"role": "user" or "assistant", "content": text} that ends with the user\'s'
    if not isinstance(messages, list) or not messages:
        raise DataError(f"{where}: messages: expected {form}")
    turns = []
    for message in messages:
        known = isinstance(message, Mapping) and message.get("role") in ("user", "assistant")
        if not known or not isinstance(message.get("content"), str):
            raise DataError(f"{where}: messages: expected {form}")
        turns.append(Turn(message["role"], message["content"]))
    if turns[-1].role != "user":
        raise DataError(f"{where}: messages: expected {form}")
    return tuple(turns)


def _items(where: str, name: str, ids: Any, indices: Mapping[str, int]) -> tuple[int, ...]:
    if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids):
        raise DataError(f"{where}: {name}: expected a list of item ids, as texts")
    if unknown := [i for i in ids if i not in indices]:
        raise DataError(f"{where}: {name}: the catalogue has no item {unknown[0]!r}", "give the items of the model")
    return tuple(dict.fromkeys(indices[i] for i in ids))
