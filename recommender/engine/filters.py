"""Filters on attributes: which items of a catalogue a request's `filters` leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from recommender.data.attribute_index import AttributeIndex
from recommender.data.catalogue import Catalogue
from recommender.errors import RecommenderError, did_you_mean


def matching(catalogue: Catalogue, filters: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Return bool [items]: which items have, for every attribute named, one of its values (letter case aside).

    Raises RecommenderError for an attribute that no item has, or whose values no item has.
    """
    index = catalogue.attribute_index
    allowed = np.ones(len(catalogue), dtype=bool)
    for name, values in filters.items():
        matches = index.matching(name, values)
        if not matches.any():
            raise _no_match(index, name, values)
        allowed &= matches
    return allowed


def _no_match(index: AttributeIndex, name: str, values: Sequence[str]) -> RecommenderError:
    known_values = index.values(name)
    if not known_values:
        names = list(index.names)
        hint = did_you_mean(name, names) or f"there are {names}"
        return RecommenderError(f"filters: no item has the attribute {name!r}", hint)
    listed = ", ".join(repr(value) for value in values) or "no value"
    similar = did_you_mean(values[0].casefold() if values else "", known_values)
    return RecommenderError(f"filters.{name}: no item has {listed}", similar)
