"""Filters on attributes: which items of a catalogue a request's `filters` leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from recommender.data.catalogue import Catalogue
from recommender.errors import RecommenderError, did_you_mean


def matching(catalogue: Catalogue, filters: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Return bool [items]: which items have, for every attribute named, one of its values (letter case aside).

    Raises RecommenderError for an attribute that no item has, or whose values no item has.
    """
    left = np.ones(len(catalogue), dtype=bool)
    for name, values in filters.items():
        wanted = {value.casefold() for value in values}
        held = [{value.casefold() for value in item.attributes.get(name, ())} for item in catalogue]
        found = np.array([bool(wanted & own) for own in held], dtype=bool)
        if not found.any():
            raise RecommenderError(*_unknown(catalogue, name, values, set().union(*held)))
        left &= found
    return left


def _unknown(catalogue: Catalogue, name: str, values: Sequence[str], known: set[str]) -> tuple[str, str | None]:
    if not known:
        names = sorted({attribute for item in catalogue for attribute in item.attributes})
        return f"filters: no item has the attribute {name!r}", did_you_mean(name, names) or f"there are {names}"
    told = ", ".join(repr(value) for value in values) or "no value"
    return f"filters.{name}: no item has {told}", did_you_mean(values[0].casefold() if values else "", known)
