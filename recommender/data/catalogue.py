"""Items: id, title, text, media paths and attributes, in file order. Items are public; users are not known here."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np

from recommender.config import ColumnsConfig, DataConfig
from recommender.data.attribute_index import AttributeIndex
from recommender.data.dropping import usable_rows
from recommender.data.facts_join import FactsReport, load_facts
from recommender.data.id_fields import listed_ids
from recommender.data.ids import canonical_id
from recommender.data.item_rows import Item, read_items
from recommender.data.tables import read_table, release_tables, say_warnings
from recommender.errors import DataError, closest

FACT_LENGTH = 80
_YEAR = re.compile(r"\(\d{4}\)$")
_MOST_COMPARED = 20_000  # ids that a mistyped one is compared with
_SAID = ("unnamed-column",)  # warnings that are said without `recommender validate`


@dataclass(frozen=True)
class CatalogueReport:
    """What cleaning changed and what is absent: numbers of items."""

    items: int = 0
    html_cleaned: int = 0
    blank_titles: int = 0
    blank_texts: int = 0
    missing_images: int = 0
    missing_audio: int = 0
    facts: FactsReport | None = None
    """What `data.facts` found, if it names a table."""


class Catalogue(Sequence[Item]):
    """All items, in file order; an item's index is its position."""

    def __init__(self, items: Iterable[Item], report: CatalogueReport | None = None) -> None:
        self._items = tuple(map(_named, items))
        self.item_ids: tuple[str, ...] = tuple(item.item_id for item in self._items)
        self._index = {item_id: index for index, item_id in enumerate(self.item_ids)}
        if len(self._index) < len(self._items):
            repeated = next(name for index, name in enumerate(self.item_ids) if self._index[name] != index)
            raise DataError(f"item id {repeated!r} stands twice in the catalogue", "item ids must be unique")
        self.report = report or _count(self._items)
        self.attribute_index = AttributeIndex([item.attributes for item in self._items])
        """Attribute -> value (letter case aside) -> items; shared by copies that withhold facts."""
        self.withheld: Mapping[int, frozenset[tuple[str, str]]] = {}
        """item -> (attribute, value) pairs that a justification must not claim of it"""
        self._complete: Catalogue | None = None
        self._fingerprint = ""

    @classmethod
    def load(
        cls,
        source: Any,
        data: DataConfig | ColumnsConfig | None = None,
        media: bool = True,
        encoded: Container[str] = (),
    ) -> Catalogue:
        """Read a file, a folder, an embedded data set, a DataFrame or a `datasets.Dataset`.

        `data`: names of columns, how the table is written, and whether rows with errors are dropped. Raises DataError for
        what cannot be read, a missing id column, empty or duplicate ids, and, if `media`, for absent media files,
        but those of items whose ids are in `encoded`: nobody reads them again.
        """
        data = DataConfig.of(data)
        table = read_table(source, "items", data.items_table)
        read = read_items(table, data.columns_of("items"))
        if not media:
            read = replace(read, problems=tuple(p for p in read.problems if p.kind != "missing-media"))
        elif encoded:
            read = read.without_problems("missing-media", table, encoded)
        if media and data.on_error == "drop":
            read = read.without_absent_media()
        usable = usable_rows(table, read.problems, data.on_error, "items")
        items = [item for row, item in zip(read.rows, read.items, strict=True) if usable[row]]
        say_warnings(read.problems, _SAID)
        html_cleaned = read.html_cleaned
        del table, read, usable
        release_tables()
        facts = None
        if data.facts is not None:
            items, facts = load_facts(items, data.facts)
        return cls(items, replace(_count(items, html_cleaned=html_cleaned), facts=facts))

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, index: int | slice) -> Item | tuple[Item, ...]:
        return self._items[index]

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def __contains__(self, item_id: object) -> bool:
        """Return whether an item id (or an Item) belongs to the catalogue."""
        name = getattr(item_id, "item_id", item_id)
        try:
            return self._position(name) is not None
        except DataError:
            return False

    def index(self, item_id: Any, *_: Any) -> int:
        """Return the position of an item id, in any form of it. Raises DataError naming the closest ids."""
        position = self._position(item_id)
        if position is None:
            raise DataError(f"unknown item id {item_id!r}", self.similar_ids_hint(canonical_id(item_id)))
        return position

    def indices(self, ids: Iterable[Any]) -> np.ndarray:
        """Return the positions of item ids, int64 [n]. Raises DataError naming the first unknown id, and for no list."""
        return np.array([self.index(item_id) for item_id in listed_ids(ids)], dtype=np.int64)

    def _position(self, item_id: Any) -> int | None:
        """Return the position of an item id, None if it is unknown. Raises DataError for what is no id."""
        if isinstance(item_id, str) and item_id in self._index:
            return self._index[item_id]
        return self._index.get(canonical_id(item_id))

    @property
    def fingerprint(self) -> str:
        """Sha256 of ids, titles and attributes in order: the same catalogue, the same text."""
        if not self._fingerprint:
            digest = hashlib.sha256()
            for item in self._items:
                line = [item.item_id, item.title, sorted((name, list(v)) for name, v in item.attributes.items())]
                digest.update(json.dumps(line).encode() + b"\n")
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def column_fingerprints(self) -> dict[str, str]:
        """Return the first 16 digits of a sha256 of the titles and of each attribute: which of them two catalogues share."""
        digests = {"title": hashlib.sha256()}
        for item in self._items:
            for name, values in (("title", (item.title,)), *item.attributes.items()):
                digests.setdefault(name, hashlib.sha256()).update(json.dumps([item.item_id, *values]).encode() + b"\n")
        return {name: digest.hexdigest()[:16] for name, digest in sorted(digests.items())}

    def facts(self, index: int) -> dict[str, tuple[str, ...]]:
        """Return the attributes that a justification may claim: short values, no links, in the table's order."""
        return {name: values for name, values in self._items[index].attributes.items() if _is_fact(values)}

    def document(self, index: int) -> str:
        """Return what a text encoder reads: title (year), attributes, description, long attributes."""
        item = self._items[index]
        read = {name: values for name, values in item.attributes.items() if name not in item.not_encoded}
        facts = {name: values for name, values in read.items() if _is_fact(values)}
        year = facts.pop("year", ())
        title = item.title if not year or _YEAR.search(item.title) else f"{item.title} ({year[0]})"
        long = {name: v for name, v in read.items() if not _is_fact(v) and not _is_link(v)}
        parts = [title, *_phrases(facts), item.text, *_phrases(long)]
        return " ".join(part if part[-1] in ".!?" else f"{part}." for part in parts if part)

    def with_media(self, images: Mapping[int, Path], audios: Mapping[int, Path]) -> Catalogue:
        """Return a copy in which the items at these positions have these media files."""
        items = list(self._items)
        for index, path in images.items():
            items[index] = replace(items[index], image=path)
        for index, path in audios.items():
            items[index] = replace(items[index], audio=path)
        media = _count(items)
        report = replace(self.report, missing_images=media.missing_images, missing_audio=media.missing_audio)
        return Catalogue(items, report)

    def withholding(self, facts: Mapping[int, frozenset[tuple[str, str]]]) -> Catalogue:
        """Return a copy that says nothing of these (attribute, value) pairs of these items; they stay attributes."""
        other = copy.copy(self)
        other.withheld = dict(facts)
        other._complete = self.complete
        return other

    @property
    def complete(self) -> Catalogue:
        """The catalogue of which this one is a copy that withholds facts; itself if it withholds none."""
        return self._complete or self

    def append(self, items: Iterable[Item]) -> Catalogue:
        """Return a copy with later items at its end; positions of earlier items stay. Raises DataError on a known id."""
        longer = (*self._items, *items)
        return Catalogue(longer, _count(longer, html_cleaned=self.report.html_cleaned))

    def similar_ids_hint(self, text: str) -> str:
        """Return a hint that names the ids closest to a mistyped one, or the item of which it is the title."""
        titled = [item for item in self._items if item.title.casefold().startswith(text.casefold())] if text else []
        if titled:
            return f"did you mean {_label(titled[0])}?"
        candidates: Iterable[str] = self.item_ids
        if len(self) > _MOST_COMPARED:  # comparing with every id of a large catalogue takes seconds
            candidates = islice((name for name in self.item_ids if name[:1] == text[:1]), _MOST_COMPARED)
        similar = closest(text, candidates)
        if similar:
            return f"did you mean {' or '.join(_label(self[self._index[name]]) for name in similar)}?"
        return f"the catalogue's ids look like {', '.join(self.item_ids[:3])}"


def _named(item: Item) -> Item:
    """Return the item with its id in the canonical form, and with a title."""
    name = canonical_id(item.item_id)
    if name != item.item_id or not isinstance(item.item_id, str):
        item = replace(item, item_id=name)
    return item if item.title.strip() else replace(item, title=f"item {name}")


def _is_link(values: tuple[str, ...]) -> bool:
    return any("://" in value for value in values)


def _is_fact(values: tuple[str, ...]) -> bool:
    return not _is_link(values) and all(len(value) <= FACT_LENGTH for value in values)


def _phrases(attributes: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return "genres: Comedy, Drama" for each attribute."""
    return [f"{name}: {', '.join(values)}" for name, values in attributes.items()]


def _label(item: Item) -> str:
    return f"{item.item_id!r} ({item.title})"


def _count(items: Sequence[Item], html_cleaned: int = 0) -> CatalogueReport:
    return CatalogueReport(
        items=len(items),
        html_cleaned=html_cleaned,
        blank_titles=sum(item.title == f"item {item.item_id}" for item in items),
        blank_texts=sum(not item.text for item in items),
        missing_images=sum(item.image is None for item in items),
        missing_audio=sum(item.audio is None for item in items),
    )
