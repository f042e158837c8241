"""What a cell of a table says: one plain text, or the values of a list, whatever type holds them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from recommender.data.cleaning import clean_text
from recommender.data.ids import is_missing
from recommender.data.written_lists import read_list
from recommender.errors import DataError

_PEOPLE_NAMES = "cast actor actors starring director directors writer writers artist artists author authors"
_LIST_NAMES = "genres genre categories category tags tag keywords keyword languages countries"
PEOPLE = frozenset(_PEOPLE_NAMES.split())
LISTS = PEOPLE | frozenset(_LIST_NAMES.split())
_OUTSIDE_BRACKETS = r"(?![^(]*\))"
_BAR = re.compile(r"\|" + _OUTSIDE_BRACKETS)
_SEMICOLON = re.compile(r"\s*;" + _OUTSIDE_BRACKETS)
# "Robert Downey, Jr." and "Tolkien, J. R. R." are one person, "Acme, Inc." is one firm
_COMMA = re.compile(
    r",(?!\s*(?:(?:(?i:Jr|Sr|Esq|Ph\.? ?D|M\.? ?D|Inc|LLC|Ltd)|Co|II|III|IV)\.?|(?:[A-Z]\.[ -]?)+)"
    r"\s*(?:[,(]|$|&|\band\b))" + _OUTSIDE_BRACKETS
)
_COMMA_OF_TEXT = re.compile(r"(?!(?<=\d),\d{3}(?!\d))" + _COMMA.pattern)  # not that of "10,000 Maniacs"
_ENUMERATING = re.compile(r"\s(?:&|and)\s")
_ALL_NUMBERS = re.compile(r"[\d,\s]+")
_QUOTED_PART = re.compile(r'(?:(?<=[,;|])|^)\s*"([^"]+)"\s*(?=[,;|]|$)')
_MASKS = str.maketrans({",": "\ue000", ";": "\ue001", "|": "\ue002"})  # letters that no text has
_UNMASKS = {ord(mask): sign for sign, mask in _MASKS.items()}
_BAND = re.compile(r"\w+(?:, \w+)+,? (?:&|and) \w+|\w+, [Tt]he \w+")  # Earth, Wind & Fire; Tyler, The Creator
# one word, and its particles: "King, Stephen", "van Gogh, Vincent", but not "Stephen King, Peter Straub"
_SURNAME_FIRST = re.compile(r"(?:(?:[a-z]+|D[aeiu]|Del|L[aei]|V[ao]n|St\.?) )*[\w'’-]+, [^,;|&]+")
_FULL_NAMES = re.compile(r"[^,\s]+ [^,]+(?:, *[^,\s]+ [^,]+)+")  # Stephen King, Peter Straub
# columns of people, and what is one name there though it holds a comma
_ONE_OF = frozenset({"author", "writer", "director"})
_SEVERAL_OF = frozenset({"authors", "writers", "directors"})
_CASTS = frozenset({"actor", "actors", "cast", "starring"})
_BANDS = frozenset({"artist", "artists"})
# other signs that separate, as those that are looked for; lines do if nothing else in a cell does
_SIGNS = str.maketrans({"；": ";", "｜": "|", "•": "|", "，": ", ", "、": ", "})
_LINE_ENDS = re.compile(r"\s*(?:[\r\n\t]|<br\s*/?>)\s*", re.IGNORECASE)
_SEPARATING = re.compile(r"[,;|]")


def plain_text(value: Any) -> str | None:
    """Return a value as text without blanks around it; None where there is nothing.

    Whole floats have no fraction (50.0 is "50"), others as few digits as their type needs; midnight is only a date;
    bytes are read as UTF-8. Raises DataError for bytes that are none.
    """
    if isinstance(value, str):
        return str(value).strip() or None
    if is_missing(value):
        return None
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            return bytes(value).decode("utf-8").strip() or None
        except UnicodeDecodeError:
            raise DataError(f"{bytes(value)[:20]!r} is no UTF-8 text", "save the column as text") from None
    if isinstance(value, float | np.floating):
        return str(int(value)) if float(value).is_integer() else str(value)
    if isinstance(value, datetime | np.datetime64):
        return _moment_text(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int):
        return _integer_text(int(value)) if not isinstance(value, bool) else str(value)
    return str(value).strip() or None


def flat(value: Any) -> Iterator[str]:
    """Yield the plain texts of a cell: of each member of a list, set or array, "name: text" of each entry of a mapping.

    Of a mapping that has a "name", only that: such records say more of themselves than of the item. Sets come
    in order of their texts, for they have none of their own.
    """
    if isinstance(value, str) or value is None:  # what most cells are
        if value and (stripped := value.strip()):
            yield stripped
    elif isinstance(value, Mapping):
        named = value.get("name")
        if isinstance(named, str) or isinstance(named, list) and all(isinstance(one, str) for one in named):
            yield from flat(named)
            return
        for name, inner in value.items():
            yield from (f"{name}: {text}" for text in flat(inner))
    elif isinstance(value, AbstractSet):
        yield from sorted(text for inner in value for text in flat(inner))
    elif _is_list(value):
        for inner in value:
            yield from flat(inner)
    elif (text := plain_text(value)) is not None:
        yield text


def listed(values: Sequence[Any], name: str) -> list[list[str]]:
    """Return the texts of each cell of an attribute column.

    Lists of any type stay as they are, also where a text writes one as JSON, Python, numpy or Postgres do. Other text is one
    value, unless the column's name means a list: then it is split at "|"; or else at ";"; or else at commas that do not
    belong to a name ("Robert Downey, Jr.", "Clothing, Shoes & Jewelry"); without any of these at the ends of its lines.
    """
    cells = [read_list(value) if isinstance(value, str) else value for value in values]
    if name.lower() not in LISTS:
        return [list(flat(cell)) for cell in cells]
    cells = [_plain_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    split = _splitter([cell for cell in cells if isinstance(cell, str)], name.lower())
    return [split(cell) if isinstance(cell, str) else _flat(cell) for cell in cells]


def _flat(cell: Any) -> list[str]:
    """Return `flat` as a list; lists of plain texts, such as the casts of twenty thousand films, go the short way."""
    if type(cell) is list and all(type(one) is str for one in cell):
        return [text for one in cell if (text := one.strip())]
    return list(flat(cell))


def _plain_cell(cell: str) -> str:
    """Return a cell as clean text, for "&amp;" holds a semicolon; whatever separates in it as a comma, ";" or "|"."""
    text = clean_text(cell).translate(_SIGNS)
    if _SEPARATING.search(text) or not _LINE_ENDS.search(cell.strip()):
        return text
    return "|".join(clean_text(line) for line in _LINE_ENDS.split(cell.strip()))


def _splitter(cells: Sequence[str], column: str) -> Callable[[str], list[str]]:
    """Return how the plain texts of a list column are split. What else the column holds tells which commas separate."""
    others = any("|" in cell or ";" in cell for cell in cells)
    people, one_name = column in PEOPLE, _one_name(column, cells, others)
    joined = frozenset() if people else _collocations(cells)

    def split(cell: str) -> list[str]:
        if '"' not in cell or not any(mark in cell for mark in ",;|"):
            return split_plain(cell)
        masked = _QUOTED_PART.sub(lambda match: match[1].translate(_MASKS), cell)
        return [part.translate(_UNMASKS) for part in split_plain(masked)]

    def split_plain(cell: str) -> list[str]:
        if one_name and one_name.fullmatch(cell):
            return [cell]
        for mark, separator in (("|", _BAR), (";", _SEMICOLON)):
            if mark in cell:
                return _stripped(separator.split(cell))
        if others and ", " in cell and not people:
            return [cell]
        return _joined(_parts(cell), joined)

    return split


def _one_name(column: str, cells: Sequence[str], others: bool) -> re.Pattern[str] | None:
    """Return what is one name in a column though it holds a comma: a band, or a person whose surname comes first.

    In a column of several people that is so unless commas stand between full names in it, in a cast only if `others`, that
    is if another sign separates them.
    """
    if column in _BANDS:
        return _BAND
    if column in _CASTS:
        return _SURNAME_FIRST if others else None
    if column in _SEVERAL_OF:
        several = any(_FULL_NAMES.fullmatch(cell) and not _SURNAME_FIRST.fullmatch(cell) for cell in cells)
        return None if several else _SURNAME_FIRST
    return _SURNAME_FIRST if column in _ONE_OF else None


def _collocations(cells: Sequence[str]) -> frozenset[tuple[str, str]]:
    """Return (part, next part) that are one name: the next has an "&" or "and", and never stands behind another part.

    Nor alone; and unless it occurs twice, the part must not stand without it either.
    """
    before: dict[str, set[str]] = {}
    after: dict[str, set[str]] = {}
    counts: dict[str, int] = {}
    for cell in cells:
        parts = _parts(cell) if "|" not in cell and ";" not in cell else [cell]
        for previous, part, following in zip(["", *parts], parts, [*parts[1:], ""], strict=False):
            before.setdefault(part, set()).add(previous)
            after.setdefault(part, set()).add(following)
            counts[part] = counts.get(part, 0) + 1
    pairs = ((next(iter(names)), part) for part, names in before.items() if len(names) == 1)
    return frozenset(
        (first, part)
        for first, part in pairs
        if first and _ENUMERATING.search(part) and (counts[part] > 1 or after[first] == {part})
    )


def _parts(cell: str) -> list[str]:
    return _stripped((_COMMA if _ALL_NUMBERS.fullmatch(cell) else _COMMA_OF_TEXT).split(cell))


def _joined(parts: list[str], pairs: frozenset[tuple[str, str]]) -> list[str]:
    names: list[str] = []
    last = ""
    for part in parts:
        if (last, part) in pairs:
            names[-1] = f"{names[-1]}, {part}"
        else:
            names.append(part)
        last = part
    return names


def _stripped(parts: Iterable[str]) -> list[str]:
    return [part.strip() for part in parts]


def _is_list(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, pd.Series | pd.Index | pd.api.extensions.ExtensionArray) or (
        isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray | memoryview)
    )


def _moment_text(value: datetime | np.datetime64) -> str:
    try:
        moment = pd.Timestamp(value)
        whole_day = moment.time() == time() and moment.tzinfo is None
        return str(date(moment.year, moment.month, moment.day)) if whole_day else str(moment)
    except (ValueError, OverflowError):  # before the year 1 or after 9999
        return str(value)


def _integer_text(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return hex(value)
