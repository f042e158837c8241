"""Chooses the attribute, such as genres, by which the diversity and calibration of lists are measured."""

from __future__ import annotations

from collections import Counter

import numpy as np
import scipy.sparse as sp

from recommender.data.catalogue import Catalogue
from recommender.errors import DataError, did_you_mean
from recommender.eval.beyond_accuracy import Attributes

# preferred in this order: they name the kind of an item
_KIND_NAMES = ("genres", "genre", "categories", "category", "tags", "keywords")
_LEAST_SHARE = 0.5  # of the items must have an attribute that is chosen without being named


def attributes_of(catalogue: Catalogue, name: str | None = None) -> Attributes | None:
    """Return the named attribute, or the one that best tells kinds of items apart; None if there is none.

    Without a name it is the first of genres, categories, tags and keywords, else the attribute with the fewest values,
    two or more, among those that half of the items have. Raises DataError for a name that no item has.
    """
    facts = [catalogue.facts(index) for index in range(len(catalogue))]
    item_counts = Counter(attribute for item_facts in facts for attribute in item_facts)
    if name is not None and name not in item_counts:
        known = ", ".join(sorted(item_counts)) or "no attribute"
        hint = did_you_mean(name, item_counts) or f"the items have {known}"
        raise DataError(f"no item has an attribute {name!r} of short values", hint)
    attribute = name or _kind_attribute(facts, item_counts)
    return None if attribute is None else Attributes(attribute, _table([f.get(attribute, ()) for f in facts]))


def _kind_attribute(facts: list[dict[str, tuple[str, ...]]], item_counts: Counter[str]) -> str | None:
    common = [name for name, count in item_counts.items() if count >= _LEAST_SHARE * len(facts)]
    for name in _KIND_NAMES:
        if name in common:
            return name
    value_counts = {name: len({value for item_facts in facts for value in item_facts.get(name, ())}) for name in common}
    # values that only a single item has say nothing of a list
    usable = {name: count for name, count in value_counts.items() if 2 <= count <= item_counts[name] / 2}
    return min(usable, key=lambda name: usable[name]) if usable else None


def _table(values: list[tuple[str, ...]]) -> sp.csr_array:
    """Return float64 [items, values], 1 where an item has a value."""
    column_of = {value: column for column, value in enumerate(dict.fromkeys(v for item in values for v in item))}
    columns = np.array([column_of[value] for item in values for value in item], dtype=np.int64)
    row_starts = np.cumsum([0, *map(len, values)])
    return sp.csr_array((np.ones(len(columns)), columns, row_starts), shape=(len(values), len(column_of)))
