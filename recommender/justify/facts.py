"""What may be said of an item: its attributes, the decade of its year, and what role an attribute plays.

The facts of a catalogue are worked out once and kept for as long as the catalogue lives (`fact_index`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from weakref import WeakKeyDictionary

import numpy as np

from recommender.data.attribute_index import AttributeIndex
from recommender.data.catalogue import Catalogue
from recommender.justify.inflection import singular
from recommender.justify.item_names import title_year
from recommender.justify.series import series_of
from recommender.justify.themes import themes_of

#: attribute names in the singular -> the role that justifications know them by; any other attribute is its own role
ROLES = {
    **dict.fromkeys(("genre", "category", "subcategory", "type", "style", "class", "sound"), "kind"),
    **dict.fromkeys(("director", "directed by"), "director"),
    **dict.fromkeys(("cast", "actor", "actress", "star", "starring"), "cast"),
    **dict.fromkeys(("writer", "author", "written by"), "writer"),
    **dict.fromkeys(("artist", "band", "singer", "composer", "performer"), "artist"),
    **dict.fromkeys(("rated", "rating", "age rating", "certificate"), "age rating"),
    **dict.fromkeys(("year", "release year", "publication year", "year of release"), "year"),
}

#: words that say the role whatever stands before them; not "type" or "style", which may be of anything
_LAST_WORDS = frozenset(("director", "actor", "actress", "writer", "author", "artist", "year"))
#: roles of those who made an item
PEOPLE = ("director", "cast", "writer", "artist")
#: the attributes of what is found in titles and texts: the series that an item is a part of, and what it touches on
SERIES, THEME = "series", "theme"
#: values of tables that say that nothing is known, or that name no kind: no justification rests on them
_NOT_KNOWN = frozenset(("unknown", "not known", "unspecified", "not specified", "undefined", "(no genres listed)"))
_NO_KIND = _NOT_KNOWN | {"other", "others", "misc", "miscellaneous"}
_NOTE = re.compile(r"\s*\([^()]*\)$")

Fact = tuple[str, str]
"""A name and one of its values."""
Facts = Mapping[str, tuple[str, ...]]
"""The values of each name of one item, in the order of the table; shared, so never to be changed."""


def label(name: str) -> str:
    """Return an attribute's name as words in the singular: "release_years" -> "release year"."""
    *first, last = name.replace("_", " ").replace("-", " ").casefold().split() or [""]
    return " ".join([*first, singular(last)])


@lru_cache(maxsize=4096)
def role(name: str) -> str:
    """Return the role of an attribute: kind, director, cast, writer, artist, year, decade, or its own label.

    The last word decides where the whole name is not known: "Book-Author" is an author.
    """
    words = label(name)
    last = words.rpartition(" ")[2]
    if words.startswith("year of "):
        return "year"
    return ROLES.get(words) or (ROLES[last] if last in _LAST_WORDS else words)


class FactIndex:
    """The facts of every item of a catalogue, and which items have a fact."""

    def __init__(self, facts: Sequence[Facts]) -> None:
        """Take the facts of each item."""
        self.facts: tuple[Facts, ...] = tuple(facts)
        self._items = AttributeIndex(self.facts, key=str)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all facts, sorted."""
        return self._items.names

    def items(self, fact: Fact) -> np.ndarray:
        """Return the items with this (name, value), letter for letter: int64 [n], ascending, not to be written to."""
        return self._items.items(*fact)

    def having(self, facts: Iterable[Fact]) -> np.ndarray:
        """Return bool [items]: which items have at least one of these facts."""
        mask = np.zeros(len(self.facts), dtype=bool)
        for fact in facts:
            mask[self.items(fact)] = True
        return mask

    @cached_property
    def kinds(self) -> tuple[frozenset[str], ...]:
        """The genres, categories and the like of each item, casefolded."""
        return tuple(
            frozenset(v.casefold() for name, values in facts.items() if role(name) == "kind" for v in values)
            for facts in self.facts
        )

    @cached_property
    def kind_items(self) -> Mapping[str, np.ndarray]:
        """The items of each kind: int64 [n], ascending, not to be written to."""
        return AttributeIndex([{"kind": tuple(kinds)} for kinds in self.kinds]).values("kind")

    @cached_property
    def kind_counts(self) -> np.ndarray:
        """The number of kinds of each item, int64 [items]."""
        return np.array([len(kinds) for kinds in self.kinds], dtype=np.int64)

    @cached_property
    def years(self) -> tuple[tuple[int, ...], ...]:
        """The years of each item; most have one or none."""
        return tuple(tuple(map(int, years_of(facts))) for facts in self.facts)

    def with_years(self, accepts: Callable[[int], bool]) -> np.ndarray:
        """Return bool [items]: which items have a year, and none that `accepts` rejects."""
        mask = np.zeros(len(self.facts), dtype=bool)
        for items in self._year_items.values():
            mask[items] = True
        for year, items in self._year_items.items():
            if not accepts(int(year)):
                mask[items] = False
        return mask

    @cached_property
    def _year_items(self) -> Mapping[str, np.ndarray]:
        return AttributeIndex([{"year": tuple(map(str, years))} for years in self.years]).values("year")


_INDICES: WeakKeyDictionary[Catalogue, FactIndex] = WeakKeyDictionary()


def fact_index(catalogue: Catalogue) -> FactIndex:
    """Return the facts of a catalogue, worked out at the first call; of a copy that withholds some, only those change."""
    index = _INDICES.get(catalogue)
    if index is None:
        index = _INDICES[catalogue] = _build_index(catalogue)
    return index


def _build_index(catalogue: Catalogue) -> FactIndex:
    complete = catalogue.complete
    if complete is catalogue:
        facts = [_facts(catalogue, item) for item in range(len(catalogue))]
        for item, name in enumerate(series_of([item.title for item in catalogue])):
            if name is not None:
                facts[item].setdefault(SERIES, (name,))
        for item, themes in enumerate(themes_of([item.text for item in catalogue])):
            if themes:
                facts[item].setdefault(THEME, themes)
        return FactIndex(facts)
    stated = list(fact_index(complete).facts)
    for item, withheld in catalogue.withheld.items():
        stated[item] = _without(stated[item], withheld)
    return FactIndex(stated)


def facts_of(catalogue: Catalogue, item: int) -> Facts:
    """Return what may be said of an item: attributes, the year (also from its title), the decade; not what is withheld."""
    return fact_index(catalogue).facts[item]


def _facts(catalogue: Catalogue, item: int) -> dict[str, tuple[str, ...]]:
    facts = {name: _names_only(name, _told(name, values)) for name, values in catalogue.facts(item).items()}
    facts = {name: values for name, values in facts.items() if values}
    years = tuple(v for name, values in facts.items() if role(name) == "year" for v in values if _is_year(v))
    if not years and (year := title_year(catalogue[item].title)):
        years = facts["year"] = (year,)
    if years and "decade" not in facts:
        facts["decade"] = tuple(dict.fromkeys(f"{year[:3]}0s" for year in years))
    return facts


def _told(name: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the values that say something of an item."""
    silent = _NO_KIND if role(name) == "kind" else _NOT_KNOWN
    return tuple(value for value in values if value.casefold() not in silent)


def _names_only(name: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of people without notes in brackets: "Joss Whedon (screenplay by)"."""
    if role(name) not in PEOPLE or not any("(" in value for value in values):
        return values
    return tuple(dict.fromkeys(_NOTE.sub("", value) or value for value in values))


def _without(facts: Facts, withheld: frozenset[Fact]) -> Facts:
    left = {name: tuple(v for v in values if (name, v) not in withheld) for name, values in facts.items()}
    return {name: values for name, values in left.items() if values}


def years_of(facts: Facts) -> tuple[str, ...]:
    """Return the years among facts."""
    return tuple(v for name, values in facts.items() if role(name) == "year" for v in values if _is_year(v))


def _is_year(value: str) -> bool:
    return len(value) == 4 and value.isascii() and value.isdigit()
