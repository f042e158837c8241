"""Converts the film facts of bokeh-sampledata (Wikidata, CC0) to a table of items."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

_LISTS = {
    "genres": "Genre",
    "director": "Director",
    "writer": "Writer",
    "cast": "Cast",
    "language": "Language",
    "country": "Country",
}
#: what may stand behind a comma within one name
_SUFFIXES = frozenset({"Jr.", "Sr.", "Jr", "Sr", "II", "III", "IV"})
_QUERY = "SELECT * FROM omdb ORDER BY ID"


def convert(source: Path, target: Path) -> None:
    """Write `target`/items.jsonl from the folder `source` that holds movies.db.

    Columns: item_id (that of the Internet Movie Database), title, year, age_rating, and the lists genres, director, writer,
    cast (in alphabetical order), language, country and award (whether it won an Oscar). A film that stands there twice is
    written once.
    """
    with closing(sqlite3.connect(f"file:{source / 'movies.db'}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        rows = {row["imdbID"]: row for row in database.execute(_QUERY)}
    with (target / "items.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(_item(row), ensure_ascii=False) + "\n" for row in rows.values())


def _item(row: sqlite3.Row) -> dict[str, Any]:
    item: dict[str, Any] = {"item_id": row["imdbID"], "title": row["Title"], "year": str(row["Year"])}
    item |= {name: _values(row[column]) for name, column in _LISTS.items()}
    item["age_rating"] = row["Rating"] or ""
    item["award"] = ["Oscar"] if row["Oscars"] else []
    return item


def _values(text: str | None) -> list[str]:
    values: list[str] = []
    for value in filter(None, map(str.strip, (text or "").split(","))):
        if value in _SUFFIXES and values:
            values[-1] += f" {value}"  # "Robert Downey, Jr." is one name
        else:
            values.append(value)
    return values
