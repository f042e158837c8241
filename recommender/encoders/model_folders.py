"""What a published name or a folder of an encoder stands for, found by looking at the folder's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from recommender import assets
from recommender.errors import AssetError, ConfigError

Kind = Literal["text", "knowledge", "image", "audio"]


def settings_of(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """Return what a JSON file of a model's folder says, {} if there is none or it cannot be read."""
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def transformers_type(folder: Path) -> str | None:
    """Return the `model_type` of a folder in the layout of transformers, None for other folders."""
    found = settings_of(folder).get("model_type")
    return str(found) if found else None


def folder_of(name: str, kind: Kind, tried: str = "") -> Path:
    """Return the folder of an embedded name, a local folder or a name on the hub, fetched where it is not here.

    `tried`: what else the name might have been, for the error. Raises AssetError in one line that says what was tried and
    what to do.
    """
    try:
        return assets.fetch(name)
    except AssetError as error:
        reason = error.message.removeprefix(f"{name}: ")
        raise AssetError(f"encoders.{kind}: {name!r} cannot be had ({tried}{reason})", hint_of(kind, error)) from None


def hint_of(kind: Kind, error: AssetError | ConfigError | None = None) -> str:
    """Return what to do about an encoder that is not to be had here."""
    instead = f"fetch it elsewhere and give its folder, or give vectors: encoders.{kind}: {{vectors: FILE}}"
    said = error.hint if error is not None and error.hint and error.hint.startswith("did you mean") else None
    return f"{said}; or {instead}" if said else instead


def class_of(folder: Path) -> Any:
    """Return the class of transformers that reads a folder without a head.

    The projection of a vision tower that was saved alone is no part of `AutoModel`, and an encoder that was saved alone
    has no decoder.
    """
    import transformers

    named = str(next(iter(settings_of(folder).get("architectures") or ()), ""))
    alone = named.endswith(("VisionModelWithProjection", "EncoderModel"))
    return getattr(transformers, named) if alone and hasattr(transformers, named) else transformers.AutoModel


def missing_weights(info: dict[str, Any], folder: Path, kind: Kind, unread: tuple[str, ...] = ()) -> None:
    """Raise AssetError if transformers has made up weights that a folder lacks, but for those of `unread` parts.

    `info`: what it says of the loading.
    """
    missing = sorted(name for name in info.get("missing_keys", ()) if not any(part in name for part in unread))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise AssetError(
            f"encoders.{kind}: {folder} lacks weights of its own architecture ({missing[0]}{more})",
            "give the folder of a whole encoder",
        )
