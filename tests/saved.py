"""A checkpoint in a folder, with the table of its items beside it: what commands are given."""

from __future__ import annotations

import json
from pathlib import Path

from recommender.model.checkpoint import Checkpoint, save_pretrained


def saved(checkpoint: Checkpoint, folder: Path) -> Path:
    """Write the checkpoint as `model` and its items as `items.jsonl`, and return the folder."""
    save_pretrained(checkpoint, folder / "model")
    rows = [
        {"item_id": i.item_id, "title": i.title, **{n: list(v) for n, v in i.attributes.items()}}
        for i in checkpoint.catalogue
    ]
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder
