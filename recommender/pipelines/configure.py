"""Changes what a trained checkpoint says of its use: what its weights do not depend on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from recommender.config import Config
from recommender.config.free_keys import FREE, is_free
from recommender.errors import ConfigError
from recommender.model.checkpoint import CONFIG, resolve, save_copy_with
from recommender.model.manifest import check_target, read_manifest


def configure(source: str | Path, changes: Mapping[str, Any], output: Path | None = None) -> dict[str, Any]:
    """Write a copy of a checkpoint, or the checkpoint itself, with dotted keys of its config replaced.

    Weights stay. Returns what differs then, dotted key -> value. Raises ConfigError for a key that the weights were trained
    with, a wrong value, or a shipped checkpoint without `output`; CheckpointError.
    """
    folder = resolve(source)
    read_manifest(folder)  # says it if this is no checkpoint, or a damaged one
    if output is None and not Path(source).is_dir():
        raise ConfigError(f"{source}: ships with the package, and stays as it is", "name a copy: --output DIR")
    output = output or folder
    check_target(output)
    before = Config.load(folder / CONFIG)
    after = before.updated(dict(changes))
    former = dict(_leaves(before.model_dump(mode="json")))
    changed = {key: value for key, value in _leaves(after.model_dump(mode="json")) if former.get(key, ...) != value}
    if not changed:
        raise ConfigError("nothing is to be changed", "give a key and another value: --set prompt.titled=1")
    for key in changed:
        if not is_free(key):
            raise ConfigError(
                f"{key}: the weights were trained with what it says", f"train again; free are {', '.join(FREE)}"
            )
    text = after.to_yaml()
    save_copy_with(folder, output, {CONFIG: lambda path: _write(path, text)}, {})
    return changed


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and what stands there; lists are values."""
    for name, value in node.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
