"""Lists that a text writes: as JSON, Python, numpy, pandas or Postgres print them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from recommender.strict.python_literals import parse_literal

_STRING = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_NOTHING = r"nan|NaN|None|NaT|<NA>|null|NULL"
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_NUMPY_LIST = re.compile(rf"\[\s*(?:(?:{_STRING}|{_NUMBER}|{_NOTHING})(?:\s+|(?=[\]'\"])))*\]", re.DOTALL)
_NUMPY_MEMBER = re.compile(rf"{_STRING}|{_NUMBER}|{_NOTHING}", re.DOTALL)
# as Postgres writes an array: whatever holds a blank, a comma or a brace stands in double quotes
_MEMBER = r"\"((?:[^\"\\]|\\.)*)\"|([^\s\"'{},\\]+)"
_POSTGRES_MEMBER = re.compile(_MEMBER, re.DOTALL)
_POSTGRES = re.compile(rf"\{{(?:{_MEMBER})(?:,(?:{_MEMBER}))*\}}", re.DOTALL)
_NAMED = re.compile(
    r"(?:frozenset|set|array|deque|tuple|list)\((|[\[({].*?)(?:,\s*(?:dtype|maxlen)=[^()\[\],]+)?\)", re.DOTALL
)
# what Python and numpy print within a list that is no literal: nan, np.str_('a')
_NO_LITERAL = re.compile(
    rf"{_STRING}|\\.|<NA>|\b(?:nan|NaN|NaT|null)\b|\bnp\.\w+\(({_STRING}|{_NUMBER}|nan)\)", re.DOTALL
)
_MOST_PYTHON = 1 << 20  # characters that are read as Python: that takes a hundred times their memory
_BRACKETS = ("[]", "{}", "()")


def merged(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """Return the mapping of these pairs; a key that stands twice has the list of its values."""
    found: dict[Any, list[Any]] = {}
    for key, value in pairs:
        found.setdefault(key if isinstance(key, Hashable) else str(key), []).append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


def read_list(text: str) -> Any:
    """Return the list or mapping that a text writes as a program would; the text itself if it is none."""
    stripped = text.strip()
    if stripped[-1:] == ")" and (named := _NAMED.fullmatch(stripped)):
        inner = named[1].strip()
        value = read_list(inner) if inner else []
        return text if isinstance(value, str) else value
    if stripped[:1] + stripped[-1:] not in _BRACKETS:
        return text
    readers: tuple[Callable[[str], Any], ...] = (_from_json, _from_postgres, _from_numpy, _from_python)
    for read in readers:
        try:
            value = read(stripped)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return value if isinstance(value, list | tuple | set | dict) else text
    return text


def _from_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=merged)


def _from_postgres(text: str) -> list[str | None]:
    if not _POSTGRES.fullmatch(text) or not ("," in text or '"' in text):
        raise ValueError("no array of Postgres")
    return [
        None if match[2] == "NULL" else match[2] or re.sub(r"\\(.)", r"\1", match[1])
        for match in _POSTGRES_MEMBER.finditer(text[1:-1])
    ]


def _from_numpy(text: str) -> list[Any]:
    if not _NUMPY_LIST.fullmatch(text):
        raise ValueError("no array of numpy")
    return [_literal(match[0]) for match in _NUMPY_MEMBER.finditer(text)]


def _literal(text: str) -> Any:
    if text[0] in "'\"":
        return ast.literal_eval(text)
    if re.fullmatch(_NOTHING, text):
        return None
    return int(text) if text.lstrip("+-").isdecimal() else float(text)


def _from_python(text: str) -> Any:
    if len(text) > _MOST_PYTHON:
        raise ValueError("too long")
    try:
        return parse_literal(text)
    except (ValueError, SyntaxError):
        return parse_literal(_NO_LITERAL.sub(_as_literal, text))


def _as_literal(match: re.Match[str]) -> str:
    if match[0][0] in "'\"\\":
        return match[0]
    return "None" if match[1] in (None, "nan") else match[1]
