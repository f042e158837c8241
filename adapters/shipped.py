"""Where checkpoints lie: in a folder, or shipped and known by name. Imports nothing heavy: errors come at once."""

from __future__ import annotations

import hashlib
from pathlib import Path

from recommender.errors import CheckpointError, did_you_mean
from recommender.files import check_can_write_in, status

MANIFEST = "checkpoint.json"


def shipped_checkpoints() -> dict[str, Path]:
    """Return the checkpoints that are installed with the package: name -> folder."""
    return {path.parent.name: path.parent for path in sorted(Path(__file__).parent.glob(f"*/{MANIFEST}"))}


def resolve(source: str | Path) -> Path:
    """Return the folder of a checkpoint: the path itself, or else a shipped one.

    `movielens-100k` and `adapters/movielens-100k` name a shipped checkpoint from any folder. A path to nothing is returned
    as it is: reading it says what is missing. Raises CheckpointError for what can be no path.
    """
    path = Path(source)
    status(path, CheckpointError)
    named = path.parent in (Path(), Path("adapters"))
    return shipped_checkpoints().get(path.name, path) if named and not path.exists() else path


def manifest_digest(source: str | Path) -> str:
    """Return the sha256 of a checkpoint's manifest, which vouches for its files: it tells one version from another.

    Empty where there is none.
    """
    manifest = resolve(source) / MANIFEST
    return hashlib.sha256(manifest.read_bytes()).hexdigest() if manifest.is_file() else ""


def check_own(folder: Path, why: str = "is not changed") -> None:
    """Raise CheckpointError for a checkpoint that came with the package: nothing is written into that. `why`: told."""
    if folder.resolve() in {path.resolve() for path in shipped_checkpoints().values()}:
        raise CheckpointError(f"{folder.name}: came with the package, and {why}", "copy its folder, and use that")


def check_present(source: str | Path) -> Path:
    """Return the folder of a checkpoint. Raises CheckpointError if there is none, or no checkpoint in it."""
    folder = resolve(source)
    if not folder.is_dir():
        shipped = shipped_checkpoints()
        near = did_you_mean(folder.name, shipped)
        names = f"shipped are {', '.join(shipped)}; or train one: recommender train --config FILE"
        raise CheckpointError(f"{folder}: no such checkpoint folder", f"{near} {names}" if near else names)
    if not (folder / MANIFEST).is_file():
        raise CheckpointError(f"{folder}: no {MANIFEST}, so this is no checkpoint", "give a trained folder")
    return folder


def check_target(target: Path, marker: str = MANIFEST) -> None:
    """Raise CheckpointError unless `target` can be made, is an empty folder, or a folder of the kind that holds `marker`.

    Other files may be somebody's work and are never replaced.
    """
    target = target.absolute()
    if status(target, CheckpointError) is None and not target.is_symlink():
        check_can_write_in(target.parent, target, CheckpointError)
        return
    if not target.is_dir() or (any(target.iterdir()) and not (target / marker).is_file()):
        kind = "a folder with other things in it" if target.is_dir() else "a file"
        raise CheckpointError(f"{target}: is {kind}; it would be replaced", "name a new folder for the output")
    check_can_write_in(target.parent, target, CheckpointError)
