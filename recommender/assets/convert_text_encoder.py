"""Copies the text encoder, of which the package already holds a transformers folder."""

from __future__ import annotations

import shutil
from pathlib import Path

_NOT_NEEDED = shutil.ignore_patterns(".git*", "data_config.json")


def convert(source: Path, target: Path) -> None:
    """Copy the model folder `source` to `target`, without its training data's description."""
    shutil.copytree(source, target, ignore=_NOT_NEEDED, dirs_exist_ok=True)
