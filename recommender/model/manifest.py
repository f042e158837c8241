"""The manifest of a checkpoint folder: what it was made from, and the sha256 of each of its files."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recommender.adapters.shipped import MANIFEST as MANIFEST
from recommender.adapters.shipped import check_present
from recommender.adapters.shipped import check_target as check_target
from recommender.adapters.shipped import shipped_checkpoints as shipped_checkpoints
from recommender.adapters.vouching import SIGNATURE, file_digest, manifest_text, vouched_manifest
from recommender.errors import CheckpointError
from recommender.files import locked, replacing_folder

logger = logging.getLogger(__name__)


@contextmanager
def written_folder(target: Path, marker: str = MANIFEST) -> Iterator[Path]:
    """Yield an empty folder beside `target`; it replaces the target when the block ends without an error.

    Nobody else may write to the target meanwhile. Raises CheckpointError if the target holds something else: see
    `check_target`; RecommenderError that says who writes to it already.
    """
    with claimed(target, "writing", marker):
        signed = (target / SIGNATURE).is_file()
        with replacing_folder(target) as folder:
            yield folder
        if signed:
            tell_unsigned(target)


def tell_unsigned(folder: Path) -> None:
    """Say that a folder was written anew from one that was signed: a signature is of one content only."""
    logger.warning("%s: was written anew, so it is not signed any more; sign it: recommender sign", folder)


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
    """Write the manifest: `facts`, and the sha256 of each file of the folder; a signature of an earlier one goes."""
    (folder / SIGNATURE).unlink(missing_ok=True)  # of what was there before
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    manifest = facts | {"files": {str(p.relative_to(folder)): file_digest(p) for p in files}}
    (folder / MANIFEST).write_text(manifest_text(manifest), encoding="utf-8")


def read_manifest(folder: Path, pin: str | None = None) -> dict[str, Any]:
    """Read the manifest and check every file against it, and its signature if a key is trusted: see `vouching`.

    `pin`: the digest of a manifest that was just made by us, in the place of a signature. Raises CheckpointError naming the
    file that is wrong.
    """
    return vouched_manifest(check_present(folder), pin)


def catalogue_facts(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a manifest says of the catalogue: `items` and `fingerprint`. Raises CheckpointError if it does not."""
    facts = manifest.get("catalogue")
    if isinstance(facts, dict) and isinstance(facts.get("items"), int) and isinstance(facts.get("fingerprint"), str):
        return facts
    raise CheckpointError(f"{folder / MANIFEST}: is damaged: it names no catalogue", "copy the checkpoint again")


def weights_of(folder: Path) -> dict[str, str]:
    """Return from the manifest the sha256 of each file that decides the answers of a checkpoint."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return {name: digest for name, digest in manifest["files"].items() if name.endswith((".safetensors", ".yaml"))}
