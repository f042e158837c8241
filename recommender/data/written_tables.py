"""Writes items and interactions as tables that are read again to the same: whole files, or none."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from recommender.data.catalogue import Item
from recommender.errors import DataError
from recommender.files import replacing

_FIELDS = ("item_id", "title", "description", "image", "audio", "video")
#: a folder beside a written table, of media that lie elsewhere: a table may name none outside of its own folder
MEDIA = "media"
_DIGITS, _LONGEST = 16, 40
_UNUSUAL = re.compile(r"[^\w.-]+")
_HASH = re.compile(rf"-[0-9a-f]{{{_DIGITS}}}$")
"""What an earlier writing added: a name does not grow by each."""


def write_items(path: Path, items: Iterable[Item]) -> None:
    """Write JSON lines that `Catalogue.load` reads to the same items.

    Media that lie outside of the table's folder get a second name in its `MEDIA`: a hard link, or a copy where the file
    system has none. Raises DataError for an attribute that is called like a column of its own, such as a second title.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for item in items:
            file.write(json.dumps(_row(item, path.parent), ensure_ascii=False) + "\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table with a header line."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def _row(item: Item, folder: Path) -> dict[str, Any]:
    if taken := next((name for name in item.attributes if name in _FIELDS), None):
        reason = f"item {item.item_id!r} has an attribute {taken!r}, which is the name of a column with another meaning"
        raise DataError(reason, "rename that column of its table")
    row: dict[str, Any] = {"item_id": item.item_id, "title": item.title}
    row |= {"description": item.text} if item.text else {}
    media = {"image": item.image, "audio": item.audio, "video": item.video}
    row |= {name: _within(folder, source) for name, source in media.items() if source}
    return row | {name: list(values) for name, values in item.attributes.items() if values}


def _within(folder: Path, source: Path) -> str:
    """Return the path from `folder` to a medium, which is given a name there if it has none."""
    real, folder = source.resolve(), folder.resolve()
    if real.is_relative_to(folder):
        return str(real.relative_to(folder))
    if not real.is_file():
        return str(real)  # said by whoever reads it
    kept = folder / MEDIA / _name(source)
    if not _is_the_same(kept, real):
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.unlink(missing_ok=True)
        try:
            os.link(real, kept)
        except OSError:
            with replacing(kept) as temporary:
                shutil.copy2(real, temporary)
    return str(kept.relative_to(folder))


def _name(source: Path) -> str:
    """Return a name for a medium that its folders do not tell: its own, by which people know it, and a hash of its path."""
    stem = _UNUSUAL.sub("-", _HASH.sub("", source.stem))[:_LONGEST].strip("-.")
    digest = hashlib.sha256(os.fsencode(source.absolute())).hexdigest()[:_DIGITS]
    return f"{stem}-{digest}{source.suffix}" if stem else f"{digest}{source.suffix}"


def _is_the_same(kept: Path, source: Path) -> bool:
    if not kept.is_file():
        return False
    one, other = kept.stat(), source.stat()
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)
