"""Converts RecBole's tab-separated files of MovieLens-100K to this project's tables."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

# a title, then perhaps the original title in brackets; either may carry its article behind a comma
_TITLE = re.compile(r"^(?P<title>.*?)(?: \((?P<original>[^()]*)\))?$")
_ARTICLE = re.compile(r"^(?P<rest>.+), (?P<article>The|A|An)$")


def convert(source: Path, target: Path) -> None:
    """Write `target`/items.jsonl and interactions.csv from the folder `source` that holds ml-100k.{item,inter}.

    items.jsonl: item_id, title, year, genres; ordered by id. interactions.csv: user_id, item_id, rating, timestamp
    (Unix seconds); ordered by time, ties in the order of the original file. Titles are shown the way people
    say them: a trailing English article moves to the front ("Godfather, The" becomes "The Godfather"). Item 267 has no
    title, year or genre in the original data and keeps the title "unknown".
    """
    items = sorted(_rows(source / "ml-100k.item"), key=lambda row: int(row["item_id"]))
    with (target / "items.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(_item(row), ensure_ascii=False) + "\n" for row in items)
    interactions = sorted(_rows(source / "ml-100k.inter"), key=lambda row: float(row["timestamp"]))
    with (target / "interactions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["user_id", "item_id", "rating", "timestamp"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(interactions)


def display_title(title: str) -> str:
    """Move trailing English articles to the front: "Tin Drum, The (Blechtrommel, Die)" -> "The Tin Drum (...)"."""
    parts = _TITLE.match(title.strip())
    if parts is None:
        return title.strip()
    shown = _article_first(parts["title"])
    return f"{shown} ({_article_first(parts['original'])})" if parts["original"] else shown


def _article_first(title: str) -> str:
    match = _ARTICLE.match(title)
    return f"{match['article']} {match['rest']}" if match else title


def _rows(path: Path) -> list[dict[str, str]]:
    """Read one of RecBole's files: a header of `name:type`, then tab-separated rows without quoting."""
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    names = [column.split(":")[0] for column in header.split("\t")]
    return [dict(zip(names, line.split("\t"), strict=True)) for line in lines if line]


def _item(row: dict[str, str]) -> dict[str, object]:
    known = row["release_year"].isdigit()
    return {
        "item_id": row["item_id"],
        "title": display_title(row["movie_title"]) if known else "unknown",
        "year": row["release_year"] if known else "",
        "genres": row["class"].split() if known else [],
    }
