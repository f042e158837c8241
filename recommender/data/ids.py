"""The one form of an id: what a table, a request or a program calls an item or a user, as text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd

from recommender.errors import DataError, shown

# Integers are written so by programs that know no gaps in a column of integers: pandas makes 50 and a gap 50.0 and NaN.
_WHOLE_TEXT = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0+")
_SHORTENED = re.compile(r"\d(?:[.,]\d+)?[eE]\+\d{2,3}")  # 9780195153448 as spreadsheets show and export it
_EXACT = 2**53  # from here on floats leave integers out, so two ids may have become one
_EXACT_SHORT = {"float32": 2**24, "float": 2**24, "float16": 2**11, "halffloat": 2**11, "half": 2**11, "bfloat16": 2**8}


def canonical_id(value: Any) -> str:
    """Return the text that an id stands for; the same for all tables, requests and commands.

    Text keeps its letters, case and leading zeros and loses blanks around it. Integers are decimal. Whole numbers have no
    fraction: 50, 50.0, "50.0" and Decimal("50.00") are all "50". UTF-8 bytes are their text. Raises DataError for nothing
    (None, NaN, ""), truth values, fractions, floats from 2**53 on (of 32 bits from 2**24, of 16 bits from 2**11), bytes that
    are no UTF-8, unprintable text, and for values that are no plain text or number (lists, dates).
    """
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64 | np.timedelta64):
        refuse_rounded([value], value.dtype)
        value = value.item()
    if is_missing(value):
        raise DataError("the id is empty", "give text or a whole number")
    if isinstance(value, bytes | bytearray | memoryview):
        return _from_bytes(bytes(value))
    if isinstance(value, str | UUID):
        return _from_text(str(value))
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise DataError(f"{shown(value)} is no id, but {_described(value)}", "give text or a whole number")
    return _from_number(value)


def id_or_none(value: Any) -> str | None:
    """Return the text that an id stands for, None for what is no id."""
    try:
        return canonical_id(value)
    except DataError:
        return None


def is_missing(value: Any) -> bool:
    """Return whether a cell holds nothing: None, NaN, NaT, NA or a decimal NaN. Blank text is a value."""
    if value is None or value is pd.NaT or value is pd.NA:
        return True
    if isinstance(value, Decimal):
        return value.is_nan()
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return isinstance(value, float | np.floating) and math.isnan(value)


def refuse_rounded(values: Iterable[Any], kind: Any) -> None:
    """Raise DataError for an id that a short float may have rounded. `kind`: the type of the array that held the values.

    A float32 holds every integer below 2**24, a float16 below 2**11, a bfloat16 below 2**8.
    """
    name = str(kind).rpartition(".")[2].lower()
    exact = _EXACT_SHORT.get(name)
    for value in values if exact else ():
        if isinstance(value, float | np.floating) and exact and math.isfinite(value) and abs(float(value)) >= exact:
            raise DataError(
                f"{value:.0f} is no id: a {name} this large is not exact",
                f"ids from {exact:,} on must be integers or text, or some become equal",
            )


def _from_text(text: str) -> str:
    name = text.strip()
    if not name:
        raise DataError("the id is empty", "give text or a whole number")
    if not name.isprintable():
        raise DataError(f"{shown(name)} is no id: it holds a character that cannot be printed", "remove it")
    if "+" in name and _SHORTENED.fullmatch(name):
        hint = "export the column as text, or many ids become one"
        raise DataError(f"{shown(name)} is no id: a program has shortened a long number", hint)
    whole = _WHOLE_TEXT.fullmatch(name) if name.endswith("0") else None
    if whole is None:
        return name
    return "0" if whole[1] == "-0" else whole[1]


def _from_bytes(raw: bytes) -> str:
    try:
        return _from_text(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise DataError(f"{shown(raw)} is no id: the bytes are no UTF-8", "give text or a whole number") from None


def _from_number(value: int | float | Decimal) -> str:
    if not isinstance(value, int) and (not math.isfinite(value) or value != int(value)):
        raise DataError(f"{shown(value)} is no id: it is no whole number", "give text or a whole number")
    if isinstance(value, float) and abs(value) >= _EXACT:
        hint = "ids of 16 digits and more must be integers or text, or some become equal"
        raise DataError(f"{shown(value)} is no id: a float this large is not exact", hint)
    try:
        return str(int(value))
    except ValueError:  # Python writes no integer of more than 4,300 digits
        raise DataError("the id has thousands of digits", "give a shorter one") from None


def _described(value: Any) -> str:
    if isinstance(value, bool):
        return "a truth value"
    return f"of the type {type(value).__name__}"
