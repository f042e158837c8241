"""What items have in common besides their users: the values of one catalogue attribute, such as genres."""

from __future__ import annotations

from collections import Counter

import numpy as np
import scipy.sparse as sp

from recommender.data.catalogue import Catalogue
from recommender.errors import DataError, did_you_mean
from recommender.eval.beyond import Attributes

# In this order: what names the kind of an item says more of a list than any other attribute.
_KINDS = ("genres", "genre", "categories", "category", "tags", "keywords")
_SHARE = 0.5  # of the items must have an attribute that was not asked for by name


def attributes_of(catalogue: Catalogue, name: str | None = None) -> Attributes | None:
    """Return the named attribute, or the one that best tells kinds of items apart; None if there is none.

    Unnamed, it is the first of genres, categories, tags and keywords, else the attribute with the fewest values,
    two or more, that half of the items have. Raises DataError for a name that no item has.
    """
    facts = [catalogue.facts(index) for index in range(len(catalogue))]
    counts = Counter(attribute for own in facts for attribute in own)
    if name is not None and name not in counts:
        known = ", ".join(sorted(counts)) or "no attribute"
        hint = did_you_mean(name, counts) or f"the items have {known}"
        raise DataError(f"no item has an attribute {name!r} of short values", hint)
    chosen = name or _telling(facts, counts)
    return None if chosen is None else Attributes(chosen, _table([own.get(chosen, ()) for own in facts]))


def _telling(facts: list[dict[str, tuple[str, ...]]], counts: Counter[str]) -> str | None:
    common = [name for name, count in counts.items() if count >= _SHARE * len(facts)]
    for name in _KINDS:
        if name in common:
            return name
    distinct = {name: len({value for own in facts for value in own.get(name, ())}) for name in common}
    # a value that stands at one item only tells nothing of a list
    usable = {name: count for name, count in distinct.items() if 2 <= count <= counts[name] / 2}
    return min(usable, key=lambda name: usable[name]) if usable else None


def _table(values: list[tuple[str, ...]]) -> sp.csr_array:
    place = {value: column for column, value in enumerate(dict.fromkeys(v for own in values for v in own))}
    columns = np.array([place[value] for own in values for value in own], dtype=np.int64)
    starts = np.cumsum([0, *map(len, values)])
    return sp.csr_array((np.ones(len(columns)), columns, starts), shape=(len(values), len(place)))
