"""JSON as every door reads and writes it: what JSON does not know, or what has two meanings, is refused."""

from __future__ import annotations

import json
import math
import re
import stat
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recommender.errors import DataError, RecommenderError
from recommender.files import status

DEEPEST = 100
"""Levels of nesting that are read: far more than any request or file of ours has."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|[\ud800-\udfff]")


class JsonError(ValueError):
    """A text that is no JSON, or none that has one meaning. `field`: the place with dots, None for the whole.

    `is_json`: whether the text is JSON, and only a part of it is refused.
    """

    def __init__(self, message: str, field: str | None = None, is_json: bool = False) -> None:
        super().__init__(message)
        self.field, self.is_json = field, is_json


def parse_json(raw: str | bytes, nan_is_null: bool = False) -> Any:
    """Return JSON as data; bytes are UTF-8, with a byte order mark or without.

    `nan_is_null`: read NaN and infinities, which earlier versions wrote into files, as null.

    Raises JsonError for other text, NaN and infinities, a key that stands twice in an object, numbers of thousands of
    digits or beyond the range of a float, and nesting deeper than `DEEPEST`.
    """
    try:
        text = raw.decode("utf-8-sig") if isinstance(raw, bytes) else raw.removeprefix("\ufeff")
        value = json.loads(
            text, parse_constant=_null if nan_is_null else _refuse_constant, object_pairs_hook=distinct_keys
        )
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError as error:
        raise JsonError(f"byte {error.start} is not UTF-8") from None
    except (JsonError, json.JSONDecodeError) as error:
        raise JsonError(str(error)) from None
    except ValueError:  # Python reads no integer of more than 4,300 digits
        raise JsonError("a number has thousands of digits") from None
    _check(value, 0)
    return value


def parse_request(raw: str | bytes) -> Any:
    """Return what somebody asks in JSON. Raises JsonError as `parse_json`, and for control characters and halves of
    characters: in ids or words they have no meaning, and broken or hostile clients send them."""
    value = parse_json(raw)
    _check_texts(value, "")
    return value


#: bytes of a file that is read as one JSON object; the largest that we write, traces, have less than a megabyte
MOST_BYTES = 256 << 20


def read_json_object(
    path: Path,
    what: str,
    hint: str | None = None,
    error: type[RecommenderError] = DataError,
    nan_is_null: bool = False,
) -> dict[str, Any]:
    """Return the JSON object that a file holds; `what`: what it should be, for example "decision trace".

    Raises `error` in one line for a file that is not there, cannot be read, or holds something else.
    """
    try:
        found = status(path, error)
        if found is not None and not stat.S_ISREG(found.st_mode):
            raise error(f"{path}: is no {what}: no plain file", hint)
        if found is not None and found.st_size > MOST_BYTES:
            raise error(f"{path}: is no {what}: {found.st_size >> 20} MB of JSON", hint)
        value = parse_json(path.read_bytes(), nan_is_null)
    except OSError as failure:
        raise error(f"{path}: cannot be read ({failure.strerror})", hint) from None
    except JsonError as failure:
        raise error(f"{path}: is no {what}: not valid JSON ({failure})", hint) from None
    if not isinstance(value, dict):
        raise error(f"{path}: is no {what}: expected a JSON object, found {type(value).__name__}", hint)
    return value


def json_text(value: Any, indent: int | None = None) -> str:
    """Return data as JSON that any program reads: NaN and infinities, which JSON does not know, become null."""
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=indent)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, from a table: escaped it can be written
        return json.dumps(_finite(value), allow_nan=False, indent=indent)
    return text


def _null(name: str) -> None:
    return None


def _refuse_constant(name: str) -> None:
    raise JsonError(f"{name} is not a JSON number")


def distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of these keys and values, for the parser of JSON. Raises JsonError if a key stands twice."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        repeated, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise JsonError(f"the key {repeated[:40]!r} stands twice in an object")
    return fields


def _check(value: Any, depth: int) -> None:
    """Raise JsonError for nesting that is too deep, and for numbers such as 1e999."""
    if depth > DEEPEST:
        raise _too_deep()
    if isinstance(value, float) and not math.isfinite(value):
        raise JsonError("a number is too large")
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _check(inner, depth + 1)


def _too_deep() -> JsonError:
    return JsonError(f"nested deeper than {DEEPEST} levels")


def _check_texts(value: Any, field: str) -> None:
    """Raise JsonError if a text below `value` holds a control character."""
    if isinstance(value, str) and (match := _CONTROL.search(value)):
        raise JsonError(f"{field or 'body'}: control character U+{ord(match[0]):04X}", field or None, is_json=True)
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_texts(name, field or "body")
            _check_texts(inner, f"{field}.{name}" if field else name)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _check_texts(inner, f"{field}.{number}" if field else str(number))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value
