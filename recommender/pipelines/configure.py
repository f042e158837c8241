"""Changes what a trained checkpoint says of its use: what its weights do not depend on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recommender.config import Config
from recommender.errors import ConfigError
from recommender.model.checkpoint import CONFIG, resolve, save_copy_with
from recommender.model.manifest import check_target, read_manifest

#: sections, and keys of others, that a model is not trained by
FREE = ("decoding", "justify", "serving", "update", "prompt.history", "prompt.titled", "prompt.titled_from")


def configure(source: str | Path, changes: Mapping[str, Any], output: Path | None = None) -> Config:
    """Write a copy of a checkpoint, or the checkpoint itself, with dotted keys of its config replaced; return the config.

    Weights stay. Raises ConfigError for a key that the weights were trained with, or a wrong value; CheckpointError.
    """
    folder = resolve(source)
    output = output or folder
    check_target(output)
    read_manifest(folder)  # says it if this is no checkpoint, or a damaged one
    before = Config.load(folder / CONFIG)
    if not changes:
        raise ConfigError("nothing is to be changed", "give a key: --set prompt.titled=1")
    after = before.updated(dict(changes))
    for key in changes:
        if not any(key == free or key.startswith(f"{free}.") for free in FREE):
            raise ConfigError(
                f"{key}: the weights were trained with what it says", f"train again; free are {', '.join(FREE)}"
            )
    text = after.to_yaml()
    save_copy_with(folder, output, {CONFIG: lambda path: _write(path, text)}, {})
    return after


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
