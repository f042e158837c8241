"""Writes items and interactions as tables that are read again to the same: whole files, or none."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from recommender.data.catalogue import Item
from recommender.errors import DataError
from recommender.files import replacing

_FIELDS = ("item_id", "title", "description", "image", "audio", "video")


def write_items(path: Path, items: Iterable[Item]) -> None:
    """Write JSON lines that `Catalogue.load` reads to the same items; media are named by their whole paths.

    Raises DataError for an attribute that is called like a column of its own, such as a second title.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for item in items:
            file.write(json.dumps(_row(item), ensure_ascii=False) + "\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table with a header line."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def _row(item: Item) -> dict[str, Any]:
    if taken := next((name for name in item.attributes if name in _FIELDS), None):
        reason = f"item {item.item_id!r} has an attribute {taken!r}, which is the name of a column with another meaning"
        raise DataError(reason, "rename that column of its table")
    row: dict[str, Any] = {"item_id": item.item_id, "title": item.title, "description": item.text}
    media = {"image": item.image, "audio": item.audio, "video": item.video}
    row |= {name: str(source.absolute()) for name, source in media.items() if source}
    return row | {name: list(values) for name, values in item.attributes.items()}
