"""Filters on attributes: which items of a catalogue a request's `filters` leave."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

import numpy as np

from recommender.data.attribute_index import AttributeIndex
from recommender.data.catalogue import Catalogue
from recommender.data.item_rows import attribute_values
from recommender.errors import RecommenderError, did_you_mean

#: so many values are told where none is near
_FEW = 12
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?")


def matching(catalogue: Catalogue, filters: Mapping[str, Sequence[str]], called: str = "filters") -> np.ndarray:
    """Return bool [items]: which items have, for every attribute named, one of its values (letter case aside).

    A value that no item has, but that reads as a list ("Action, Crime"), is that of the items that have all its parts;
    a number that no item has is that of the items with an equal one ("1990.0": 1990).
    Raises RecommenderError for an attribute that no item has, or whose values no item has; `called`: who asked for it.
    """
    index = catalogue.attribute_index
    allowed = np.ones(len(catalogue), dtype=bool)
    for name, values in filters.items():
        matches = index.matching(name, values) | _having_all_parts(index, name, values)
        matches |= _having_equal_numbers(index, name, values)
        if not matches.any():
            raise _no_match(index, name, values, called)
        allowed &= matches
    return allowed


def _having_all_parts(index: AttributeIndex, name: str, values: Sequence[str]) -> np.ndarray:
    mask = index.matching(name, ())
    for value in values:
        parts = attribute_values(name, value) if len(index.items(name, value)) == 0 else ()
        if len(parts) > 1:
            mask |= np.logical_and.reduce([index.matching(name, [part]) for part in parts])
    return mask


def _having_equal_numbers(index: AttributeIndex, name: str, values: Sequence[str]) -> np.ndarray:
    """Return which items have a number as it is written elsewhere: 5 and 5.0 are the price "5.00"."""
    unknown = [value for value in values if len(index.items(name, value)) == 0]
    numbers = {Decimal(value) for value in unknown if _NUMBER.fullmatch(value)}
    known = index.values(name) if numbers else ()
    equal = [value for value in known if _NUMBER.fullmatch(value) and Decimal(value) in numbers]
    return index.matching(name, equal)


def _no_match(index: AttributeIndex, name: str, values: Sequence[str], called: str) -> RecommenderError:
    known_values = index.values(name)
    if not known_values:
        names = list(index.names)
        hint = did_you_mean(name, names) or f"there are {names}"
        return RecommenderError(f"{called}: no item has the attribute {name!r}", hint)
    listed = ", ".join(repr(value) for value in values) or "no value"
    similar = did_you_mean(values[0].casefold() if values else "", known_values)
    few = f"one of {', '.join(known_values)}" if values and len(known_values) <= _FEW else None
    return RecommenderError(f"{called}.{name}: no item has {listed}", similar or few)
