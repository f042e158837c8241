"""Items: id, title, text, media paths and attributes, in file order. Items are public; users are not known here."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np

from recommender.config import ColumnsConfig
from recommender.data.attribute_index import AttributeIndex
from recommender.data.cleaning import clean_text, is_blank
from recommender.data.tables import Problem, Table, canonical, fail_on_errors, read_table
from recommender.errors import DataError, closest

FACT_LENGTH = 80
_PEOPLE_NAMES = "cast actors starring director directors writer writers artist artists author authors"
_LIST_NAMES = "genres genre categories category tags keywords languages countries"
_PEOPLE = frozenset(_PEOPLE_NAMES.split())
_LISTS = _PEOPLE | frozenset(_LIST_NAMES.split())
_ROLE = re.compile(r"\s*\([^()]*\)$")
_SEPARATOR = re.compile(r"[,|](?![^(]*\))")
_YEAR = re.compile(r"\(\d{4}\)$")
_MOST_COMPARED = 20_000  # ids that a mistyped one is compared with


@dataclass(frozen=True)
class Item:
    """An item that may be recommended. Text is clean: no HTML, one line."""

    item_id: str
    title: str
    text: str = ""
    image: Path | None = None
    audio: Path | None = None
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class CatalogueReport:
    """What cleaning changed and what is absent: numbers of items."""

    items: int = 0
    html_cleaned: int = 0
    blank_titles: int = 0
    blank_texts: int = 0
    missing_images: int = 0
    missing_audio: int = 0


class Catalogue(Sequence[Item]):
    """All items, in file order; an item's index is its position."""

    def __init__(self, items: Iterable[Item], report: CatalogueReport | None = None) -> None:
        self._items = tuple(items)
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
    def load(cls, source: Any, columns: ColumnsConfig | None = None, media: bool = True) -> Catalogue:
        """Read a file, a folder, an embedded data set, a DataFrame or a `datasets.Dataset`.

        Raises DataError for what cannot be read, a missing id column, empty or duplicate ids, and, if `media`, for absent
        media files.
        """
        read = read_items(read_table(source, "items"), columns or ColumnsConfig())
        fail_on_errors([problem for problem in read.problems if media or problem.kind != "missing-media"])
        return cls(read.items, _count(read.items, html_cleaned=read.html_cleaned))

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
        return getattr(item_id, "item_id", item_id) in self._index

    def index(self, item_id: Any, *_: Any) -> int:
        """Return the position of an item id. Raises DataError naming the closest ids."""
        text = canonical(item_id)
        if text is None or text not in self._index:
            raise DataError(f"unknown item id {item_id!r}", self.similar_ids_hint(text or ""))
        return self._index[text]

    def indices(self, ids: Iterable[Any]) -> np.ndarray:
        """Return the positions of item ids, int64 [n]. Raises DataError naming the first unknown id."""
        return np.array([self.index(item_id) for item_id in ids], dtype=np.int64)

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

    def facts(self, index: int) -> dict[str, tuple[str, ...]]:
        """Return the attributes that a justification may claim: short values, no links, in the table's order."""
        return {name: values for name, values in self._items[index].attributes.items() if _is_fact(values)}

    def document(self, index: int) -> str:
        """Return what a text encoder reads: title (year), attributes, description, long attributes."""
        item, facts = self._items[index], self.facts(index)
        year = facts.pop("year", ())
        title = item.title if not year or _YEAR.search(item.title) else f"{item.title} ({year[0]})"
        long = {name: v for name, v in item.attributes.items() if not _is_fact(v) and not _is_link(v)}
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


@dataclass(frozen=True)
class ReadItems:
    """The items of a table, the row each came from, and everything that is wrong; an unusable id gives no item."""

    items: tuple[Item, ...]
    rows: tuple[int, ...]
    problems: tuple[Problem, ...]

    @property
    def html_cleaned(self) -> int:
        """Number of rows from which HTML was removed."""
        return len({problem.row for problem in self.problems if problem.kind == "html"})


def read_items(table: Table, columns: ColumnsConfig) -> ReadItems:
    """Turn rows into items and list everything that is wrong; raises nothing."""
    if columns.item_id not in table.columns:
        return ReadItems((), (), (*table.problems, table.missing(columns.item_id, "item_id")))
    problems = list(table.problems)
    ids = _item_ids(table, columns.item_id, problems)
    titles = _texts(table, columns.title, "title", problems)
    texts = _texts(table, columns.description, "text", problems)
    images = _media(table, columns.image, problems)
    audios = _media(table, columns.audio, problems)
    attributes = _attributes(table, columns)
    rows = tuple(row for row, item_id in enumerate(ids) if item_id)
    items = tuple(
        Item(ids[row], titles[row] or f"item {ids[row]}", texts[row], images[row], audios[row], attributes[row])
        for row in rows
    )
    return ReadItems(items, rows, tuple(sorted(problems, key=lambda problem: problem.row or 0)))


def _item_ids(table: Table, column: str, problems: list[Problem]) -> list[str]:
    """Return the id of each row, "" where there is none or it was used before."""
    first: dict[str, int] = {}
    ids: list[str] = []
    for row, value in enumerate(table.values(column)):
        name = canonical(value) or ""
        if not name:
            problems.append(table.problem(row, column, "empty-id", "the item id is empty"))
        elif isinstance(value, list | dict) or not name.isprintable():
            problems.append(table.problem(row, column, "bad-id", f"{name[:40]!r} is no item id"))
            name = ""
        elif name in first:
            reason = f"duplicate item id {name!r}, first in {table.unit} {table.line(first[name])}"
            problems.append(table.problem(row, column, "duplicate-id", reason, hint="item ids must be unique"))
            name = ""
        else:
            first[name] = row
        ids.append(name)
    return ids


def _texts(table: Table, column: str, kind: str, problems: list[Problem]) -> list[str]:
    """Return a column's clean texts, "" where blank."""
    if column not in table.columns:
        reason = f"no column {column!r}"
        problems.append(table.problem(None, "", f"no-{kind}", reason, severity="warning"))
        return [""] * table.rows
    texts = []
    for row, value in enumerate(table.values(column)):
        raw = " ".join(_flat(value))
        text = clean_text(raw)
        if ("<" in raw or "&" in raw) and text != " ".join(raw.split()):
            problems.append(table.problem(row, column, "html", "HTML removed", severity="warning"))
        if is_blank(text):
            reason = "blank" if not text else f"near-blank text {text[:20]!r}"
            problems.append(table.problem(row, column, f"blank-{kind}", reason, severity="warning"))
            text = ""
        texts.append(text)
    return texts


def _media(table: Table, column: str, problems: list[Problem]) -> list[Path | None]:
    """Return paths of existing files, None where the table names none."""
    paths: list[Path | None] = []
    for row, value in enumerate(table.values(column)):
        path = _media_path(value) if isinstance(value, dict) else canonical(value)
        full = None if path is None else (table.folder or Path()) / path
        if full is not None and not _is_file(full):
            link = "://" in str(path)
            reason = f"a link, not a file: {path}" if link else f"no such file: {path}"
            hint = "download it first" if link else f"relative paths start at {table.folder or 'the working folder'}"
            problems.append(table.problem(row, column, "missing-media", reason, hint=hint))
        paths.append(full)
    return paths


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # no name that a file could have
        return False


def _media_path(value: dict[str, Any]) -> str | None:
    """Return the path of a medium of a `datasets` column, which may hold the bytes themselves."""
    if value.get("bytes"):
        # imported here: reading media needs libraries that a catalogue of plain files does not
        from recommender import assets
        from recommender.data.media import keep_bytes

        suffix = Path(value.get("path") or "").suffix
        return str(keep_bytes(value["bytes"], assets.cache_dir() / "media", suffix))
    return canonical(value.get("path"))


def _attributes(table: Table, columns: ColumnsConfig) -> list[dict[str, tuple[str, ...]]]:
    taken = {columns.item_id, columns.title, columns.description, columns.image, columns.audio}
    rows: list[dict[str, tuple[str, ...]]] = [{} for _ in range(table.rows)]
    for name in table.columns:
        if name in taken:
            continue
        for attributes, value in zip(rows, table.values(name), strict=True):
            if values := attribute_values(name, value):
                attributes[name] = values
    return rows


def attribute_values(name: str, value: Any) -> tuple[str, ...]:
    """Return an attribute's values as clean, distinct texts; lists in one text are split where the name means a list."""
    raw = list(_flat(value))
    if name.lower() in _LISTS:
        raw = [part for text in raw for part in _SEPARATOR.split(text)]
    texts = [clean_text(text) for text in raw]
    if name.lower() in _PEOPLE:  # "Joss Whedon (screenplay)" and "Joss Whedon (story)" are one writer
        texts = [_ROLE.sub("", text) for text in texts]
    return tuple(dict.fromkeys(text for text in texts if not is_blank(text)))


def _flat(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from (f"{name}: {text}" for text in _flat(inner))
    elif isinstance(value, list | tuple | set | np.ndarray):
        for inner in value:
            yield from _flat(inner)
    elif (text := canonical(value)) is not None:
        yield text


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
