"""What codes stand for: the attribute values that set a code's items apart from the rest of the catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from recommender.data.catalogue import Catalogue, Item


@dataclass(frozen=True)
class Trait:
    """An attribute value that the items of a code have more often than others."""

    attribute: str
    value: str
    items: int
    lift: float
    """How many times more frequent the value is among the code's items than in the catalogue."""


@dataclass(frozen=True)
class CodeMeaning:
    """What the items of one code have in common."""

    code: int
    items: int
    traits: tuple[Trait, ...]
    titles: tuple[str, ...]


def code_meanings(codes: np.ndarray, catalogue: Catalogue, most: int = 5) -> dict[int, CodeMeaning]:
    """Return what each used code of a level means; `codes` [items] are those of the catalogue's items.

    Traits are the attribute values with the largest p(value | code) log lift, at most `most`; the titles are of the items
    that have most of them.
    """
    counts = Counter(pair for item in catalogue for pair in _attribute_values(item))
    items_by_code = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    return {
        code: _meaning(code, [catalogue[int(i)] for i in members], counts, len(catalogue), most)
        for code, members in enumerate(items_by_code)
        if len(members)
    }


def _attribute_values(item: Item) -> Iterator[tuple[str, str]]:
    """The item's attribute values as (attribute, value), each once."""
    for name, values in item.attributes.items():
        for value in dict.fromkeys(values):
            yield name, value


def _meaning(
    code: int, members: list[Item], counts: Mapping[tuple[str, str], int], items: int, most: int
) -> CodeMeaning:
    """`counts`: how many of all `items` items have each attribute value."""
    member_counts = Counter(pair for item in members for pair in _attribute_values(item))
    lift = {pair: (count / len(members)) / (counts[pair] / items) for pair, count in member_counts.items()}
    worth = {pair: count / len(members) * float(np.log(lift[pair])) for pair, count in member_counts.items()}
    best = sorted((pair for pair in worth if worth[pair] > 0), key=lambda pair: (-worth[pair], pair))[:most]
    traits = tuple(Trait(*pair, member_counts[pair], lift[pair]) for pair in best)
    typical = sorted(members, key=lambda item: -sum(worth[pair] for pair in _attribute_values(item) if pair in best))
    return CodeMeaning(code, len(members), traits, tuple(item.title for item in typical[:most]))
