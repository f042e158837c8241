"""Writing a folder as one act: everything under a temporary name beside it, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recommender.errors import CheckpointError

MANIFEST = "checkpoint.json"


@contextmanager
def written_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`; when the block ends well, it takes the target's place."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        old = target.with_name(f".{target.name}.{os.getpid()}.old")
        if target.exists():
            os.replace(target, old)
        os.replace(temporary, target)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_manifest(folder: Path, facts: dict[str, Any]) -> None:
    """Write what the checkpoint is and the sha256 of each of its files."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    facts = facts | {"files": {str(p.relative_to(folder)): _sha256(p) for p in files}}
    (folder / MANIFEST).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest and check every file against it. Raises CheckpointError naming the file that is wrong."""
    path = folder / MANIFEST
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such checkpoint folder", "train one: recommender train --config FILE")
    if not path.is_file():
        raise CheckpointError(f"{folder}: no {MANIFEST}, so this is no checkpoint of ours", "give a trained folder")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        listed = dict(facts["files"])
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(f"{path}: is damaged", "copy the checkpoint again") from None
    for name, expected in listed.items():
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder}: the file {name} is missing", "copy the checkpoint again, whole")
        if name != "README.md" and _sha256(folder / name) != expected:
            raise CheckpointError(f"{folder}: the file {name} is damaged", "copy the checkpoint again, whole")
    return dict(facts)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
