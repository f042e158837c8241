"""The manifest of a checkpoint folder: what it was made from, and the sha256 of each of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recommender.adapters.shipped import MANIFEST as MANIFEST
from recommender.adapters.shipped import check_present
from recommender.adapters.shipped import check_target as check_target
from recommender.adapters.shipped import shipped_checkpoints as shipped_checkpoints
from recommender.errors import CheckpointError
from recommender.files import locked, replacing_folder
from recommender.strict.json_documents import read_json_object

#: what a checkpoint may be read from
_READ = (".safetensors", ".yaml", ".json", ".jinja", ".bin", ".pt")


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


def write_manifest(folder: Path, facts: dict[str, Any]) -> None:
    """Write the manifest: `facts`, and the sha256 of each file of the folder."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    manifest = facts | {"files": {str(p.relative_to(folder)): _sha256(p) for p in files}}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest and check every file against it. Raises CheckpointError naming the file that is wrong."""
    folder = check_present(folder)
    path = folder / MANIFEST
    manifest = read_json_object(path, "manifest, or is damaged", "copy the checkpoint again", CheckpointError)
    digests = manifest.get("files")
    if not (isinstance(digests, dict) and digests and all(isinstance(digest, str) for digest in digests.values())):
        raise CheckpointError(f"{path}: is damaged: it vouches for no files", "copy the checkpoint again")
    _check_names(folder, digests)
    for name, expected in digests.items():
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder}: the file {name} is missing", "copy the checkpoint again, whole")
        if name != "README.md" and _sha256(folder / name) != expected:
            raise CheckpointError(f"{folder}: the file {name} is damaged", "copy the checkpoint again, whole")
    return manifest


def catalogue_facts(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a manifest says of the catalogue: `items` and `fingerprint`. Raises CheckpointError if it does not."""
    facts = manifest.get("catalogue")
    if isinstance(facts, dict) and isinstance(facts.get("items"), int) and isinstance(facts.get("fingerprint"), str):
        return facts
    raise CheckpointError(f"{folder / MANIFEST}: is damaged: it names no catalogue", "copy the checkpoint again")


def _check_names(folder: Path, digests: Mapping[str, str]) -> None:
    """Raise CheckpointError unless every file of a folder is vouched for, and no file elsewhere is."""
    if outside := [name for name in digests if Path(name).is_absolute() or ".." in Path(name).parts]:
        raise CheckpointError(f"{folder}: its {MANIFEST} names {outside[0]!r}, outside the folder", "do not trust it")
    present = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    # notes and pictures may lie beside; these are read
    unknown = sorted(name for name in present - set(digests) - {MANIFEST} if Path(name).suffix in _READ)
    if unknown:
        message = f"{folder}: its {MANIFEST} does not vouch for {unknown[0]}"
        raise CheckpointError(message, "copy the checkpoint again, whole")


def weights_of(folder: Path) -> dict[str, str]:
    """Return from the manifest the sha256 of each file that decides the answers of a checkpoint."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return {name: digest for name, digest in manifest["files"].items() if name.endswith((".safetensors", ".yaml"))}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:  # a file may be larger than memory
        return hashlib.file_digest(file, "sha256").hexdigest()
