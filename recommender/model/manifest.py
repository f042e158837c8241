"""The manifest of a checkpoint folder: what it was made from, and the sha256 of each of its files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recommender import adapters
from recommender.errors import CheckpointError, did_you_mean
from recommender.files import locked, replacing_folder

MANIFEST = "checkpoint.json"


def check_target(target: Path, marker: str = MANIFEST) -> None:
    """Raise CheckpointError unless `target` is free, an empty folder, or a folder of the kind that holds `marker`.

    Other files may be somebody's work and are never replaced.
    """
    target = target.absolute()
    if not target.exists() and not target.is_symlink():
        parent = next(path for path in target.parents if path.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise CheckpointError(f"{target}: cannot be made, {parent} is no folder that you may write to")
        return
    if not target.is_dir() or (any(target.iterdir()) and not (target / marker).is_file()):
        kind = "a folder with other things in it" if target.is_dir() else "a file"
        raise CheckpointError(f"{target}: is {kind}; it would be replaced", "name a new folder for the output")


@contextmanager
def written_folder(target: Path, marker: str = MANIFEST) -> Iterator[Path]:
    """Yield an empty folder beside `target`; it replaces the target when the block ends without an error.

    Nobody else may write to the target meanwhile. Raises CheckpointError if the target holds something else: see
    `check_target`; RecommenderError that says who writes to it already.
    """
    with claimed(target, "writing", marker), replacing_folder(target) as folder:
        yield folder


@contextmanager
def claimed(target: Path, task: str, marker: str = MANIFEST) -> Iterator[None]:
    """Hold the folder `target` for hours of work whose result will replace it; `task`: what others are told of it.

    Raises CheckpointError if the target holds something else: see `check_target`; RecommenderError if somebody holds it.
    """
    check_target(target, marker)
    with locked(target, task):
        check_target(target, marker)  # what a killed writer had set aside is back
        yield


def shipped_checkpoints() -> dict[str, Path]:
    """Return the checkpoints that are installed with the package: name -> folder."""
    return {path.parent.name: path.parent for path in sorted(Path(adapters.__file__).parent.glob(f"*/{MANIFEST}"))}


def write_manifest(folder: Path, facts: dict[str, Any]) -> None:
    """Write the manifest: `facts`, and the sha256 of each file of the folder."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    manifest = facts | {"files": {str(p.relative_to(folder)): _sha256(p) for p in files}}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest and check every file against it. Raises CheckpointError naming the file that is wrong."""
    path = folder / MANIFEST
    if not folder.is_dir():
        shipped = shipped_checkpoints()
        near = did_you_mean(folder.name, shipped)
        names = f"shipped are {', '.join(shipped)}; or train one: recommender train --config FILE"
        raise CheckpointError(f"{folder}: no such checkpoint folder", f"{near} {names}" if near else names)
    if not path.is_file():
        raise CheckpointError(f"{folder}: no {MANIFEST}, so this is no checkpoint", "give a trained folder")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        digests = dict(manifest["files"])
        if not digests:
            raise ValueError("no file is listed")
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(f"{path}: is damaged", "copy the checkpoint again") from None
    for name, expected in digests.items():
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder}: the file {name} is missing", "copy the checkpoint again, whole")
        if name != "README.md" and _sha256(folder / name) != expected:
            raise CheckpointError(f"{folder}: the file {name} is damaged", "copy the checkpoint again, whole")
    return dict(manifest)


def weights_of(folder: Path) -> dict[str, str]:
    """Return from the manifest the sha256 of each file that decides the answers of a checkpoint."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return {name: digest for name, digest in manifest["files"].items() if name.endswith((".safetensors", ".yaml"))}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
