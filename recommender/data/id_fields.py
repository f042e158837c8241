"""Ids and values as fields of what people send: one canonical form, lists that are lists, no id under two names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from recommender.data.cells import plain_text
from recommender.data.ids import canonical_id, refuse_rounded
from recommender.errors import DataError, shown

_TEXT_ARRAYS = ("b", "B", "u", "w")  # of the standard library: bytes and letters, not ids


def item_ids(values: Any) -> tuple[str, ...]:
    """Return a list of item ids in their canonical form; arrays, series and tensors are lists too.

    Raises DataError for a single text or number, for a mapping, and for what is no id.
    """
    return tuple(map(canonical_id, listed_ids(values)))


def history_ids(values: Any) -> tuple[str, ...]:
    """Return the item ids of a history, oldest first. Raises DataError as `item_ids`, and for a set: it has no order."""
    return tuple(map(canonical_id, _in_order(values)))


def user_id(value: Any) -> str | None:
    """Return a person's id in its canonical form; nobody for None and for blank text, which clients send for strangers.

    Raises DataError for what is no id.
    """
    blank = isinstance(value, str) and not value.strip()
    return None if value is None or blank else canonical_id(value)


def by_item(values: Any) -> Any:
    """Return a mapping with canonical item ids as its keys; what is no mapping as it is.

    Raises DataError if two keys are one item, for example 50 and "50".
    """
    if not isinstance(values, Mapping):
        return values
    found: dict[str, Any] = {}
    for name, value in values.items():
        item = canonical_id(name)
        if item in found:
            raise DataError(f"item {item!r} is given twice", "give each item once")
        found[item] = value
    return found


def value_text(value: Any) -> str:
    """Return an attribute's value as the text that a table of items would be read as: 1995.0 and " 1995 " are 1995.

    Raises DataError for nothing (None, NaN, blank text), lists and mappings.
    """
    text = None if isinstance(value, list | tuple | Mapping) else plain_text(value)
    if text is None:
        raise DataError(f"expected a text or a number, found {shown(value)}")
    return text


def listed_ids(values: Any) -> list[Any]:
    """Return the elements of a list, an array of one dimension or the like, as they are.

    Raises DataError for all else: a text, bytes, a mapping, a table; and for short floats that may have been rounded.
    """
    listed = values
    if not isinstance(values, bytearray | memoryview) and hasattr(values, "tolist"):  # numpy, pandas, torch
        listed = values.tolist()
    is_text = (
        isinstance(listed, str | bytes | bytearray | memoryview) or getattr(values, "typecode", "") in _TEXT_ARRAYS
    )
    is_table = isinstance(listed, Mapping) or hasattr(listed, "columns")
    if is_text or is_table or not isinstance(listed, Iterable):
        raise DataError(f"expected a list of item ids, found {shown(values)}", 'write ["50"] for a single one')
    listed = list(listed)
    kind = (
        "float32" if getattr(values, "typecode", "") == "f" else getattr(values, "dtype", getattr(values, "type", ""))
    )
    refuse_rounded(listed, kind)
    return listed


def given_fields(fields: Any, known: Collection[str]) -> Any:
    """Return the fields of a body without those `known` ones that are null: null is a field that is not given.

    Null under an unknown name stays, so that the name is found wrong; what is no mapping is returned as it is.
    """
    if not isinstance(fields, Mapping):
        return fields
    return {name: value for name, value in fields.items() if value is not None or name not in known}


def _in_order(values: Any) -> list[Any]:
    if isinstance(values, set | frozenset) and len(values) > 1:
        raise DataError("a set has no order, and a history is told oldest first", "give a list")
    return listed_ids(values)


def _several(values: Any) -> Any:
    """Return one value as a list of it, and several as they are."""
    listed = values.tolist() if hasattr(values, "tolist") else values
    return listed if isinstance(listed, list | tuple | set | frozenset) else [listed]


def _reads(read: Callable[[Any], Any]) -> BeforeValidator:
    """Return a reader of ids as a validator: pydantic names the field, the reader says what is wrong with it."""

    def validate(value: Any) -> Any:
        try:
            return read(value)
        except DataError as error:
            raise PydanticCustomError("id", "{reason}", {"reason": str(error)}) from None

    return BeforeValidator(validate)


ItemId = Annotated[str, _reads(canonical_id)]
"""The id of one item."""
ItemIds = Annotated[tuple[ItemId, ...], _reads(listed_ids)]
"""Ids of items, in any order."""
SomeItemIds = Annotated[
    tuple[ItemId, ...] | None, _reads(lambda values: None if values is None else listed_ids(values))
]
"""Ids of items, or None for all."""
HistoryIds = Annotated[tuple[ItemId, ...], _reads(_in_order)]
"""Ids of items, oldest first."""
UserId = Annotated[str | None, _reads(user_id)]
"""The id of a person, or nobody."""
ByItem = _reads(by_item)
"""For a mapping from item ids to anything."""
ValueText = Annotated[str, _reads(value_text)]
"""A value of an attribute."""
ValueTexts = Annotated[tuple[ValueText, ...], _reads(_several)]
"""A value of an attribute, or several."""
