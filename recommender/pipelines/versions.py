"""Earlier versions of a checkpoint, beside it: what each update did, and the way back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recommender.adapters.shipped import check_own
from recommender.errors import DataError
from recommender.files import replacing, replacing_folder
from recommender.model.manifest import claimed, read_manifest

LOG = "updates.jsonl"


def versions_folder(checkpoint: Path) -> Path:
    """Return the folder of the earlier versions of a checkpoint, and of the log of its updates."""
    return checkpoint.absolute().with_name(f"{checkpoint.absolute().name}.versions")


def read_log(checkpoint: Path) -> list[dict[str, Any]]:
    """Return what the updates of a checkpoint did, oldest first."""
    path = versions_folder(checkpoint) / LOG
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except ValueError:
        raise DataError(
            f"{path}: is damaged", "remove its last line, or the file: the next update needs --since then"
        ) from None


def add_to_log(checkpoint: Path, row: Mapping[str, Any]) -> None:
    """Write what an update did behind what earlier ones did."""
    path = versions_folder(checkpoint) / LOG
    rows = [*read_log(checkpoint), dict(row)]
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")


def kept_versions(checkpoint: Path) -> list[Path]:
    """Return the folders of earlier versions, oldest first."""
    found = [path for path in versions_folder(checkpoint).glob("[0-9]*") if path.is_dir()]
    return sorted(found, key=lambda path: int(path.name))


def keep_version(checkpoint: Path, most: int) -> Path:
    """Copy the checkpoint as it is among the earlier versions, of which the latest `most` are kept; returns its folder."""
    kept = kept_versions(checkpoint)
    number = int(kept[-1].name) + 1 if kept else 1
    target = versions_folder(checkpoint) / f"{number:04d}"
    with replacing_folder(target) as folder:
        shutil.copytree(checkpoint, folder, dirs_exist_ok=True)
    for old in kept_versions(checkpoint)[:-most]:
        shutil.rmtree(old)
    return target


def roll_back(checkpoint: Path) -> Path:
    """Put the latest earlier version in the place of the checkpoint, and return the folder where it was.

    Raises DataError where there is none, CheckpointError for one that is damaged: the checkpoint is then as it was.
    """
    check_own(checkpoint)
    kept = kept_versions(checkpoint)
    if not kept:
        raise DataError(f"{checkpoint}: has no earlier version", "`recommender update` keeps one each time")
    read_manifest(kept[-1])
    with claimed(checkpoint, "rolling back"), replacing_folder(checkpoint) as folder:
        shutil.copytree(kept[-1], folder, dirs_exist_ok=True)
    shutil.rmtree(kept[-1])
    return kept[-1]
