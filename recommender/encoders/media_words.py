"""A table of words for media, which `data.facts` joins."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from recommender.errors import DataError
from recommender.files import write_text


def write_words(
    path: Path, item_ids: Sequence[str], columns: Mapping[str, Sequence[tuple[str, ...]]], nothing: DataError
) -> None:
    """Write a table of facts, a JSON line for each item that has words: `item_id` and, of each column, the words of each
    item. Raises `nothing` if none has."""
    rows = [{name: words[row] for name, words in columns.items() if words[row]} for row in range(len(item_ids))]
    lines = [{"item_id": item_id, **own} for item_id, own in zip(item_ids, rows, strict=True) if own]
    if not lines:
        raise nothing
    write_text(path, "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines))
