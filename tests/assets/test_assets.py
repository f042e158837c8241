"""Names of assets: embedded, local, on the hub, unknown."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from recommender import assets
from recommender.errors import AssetError


def test_local_folder_is_returned_as_it_is_and_a_file_is_refused(tmp_path):
    assert assets.fetch(str(tmp_path)) == tmp_path
    (tmp_path / "model.pt").touch()
    with pytest.raises(AssetError, match="expected a folder") as error:
        assets.fetch(str(tmp_path / "model.pt"))
    assert str(tmp_path) in error.value.hint


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("smollm2-135m", "did you mean smollm2-135m-instruct"),
        ("", "embedded are"),
        ("./absent", "embedded are"),
    ],
)
def test_unknown_name_is_suggested_for(name, hint):
    with pytest.raises(AssetError) as error:
        assets.fetch(name)
    assert hint in error.value.hint


def test_hub_name_goes_to_the_hub_and_its_failure_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **options: str(tmp_path / name))
    assert assets.fetch("owner/some-model") == tmp_path / "owner/some-model"

    def fail(name, **options):
        raise OSError("cannot reach it\nmany\nlines")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(AssetError, match=r"owner/some-model: .*\(cannot reach it\) \(hint") as error:
        assets.fetch("owner/some-model")
    assert "\n" not in error.value.message and "local folder" in error.value.hint


def test_describe_tells_what_is_cached(kept):
    assert not any(info.cached for info in assets.describe())
    assets.fetch("tiny")
    assert [info.name for info in assets.describe() if info.cached] == ["tiny"]


def test_an_embedded_name_wins_over_a_folder_of_that_name(kept, tmp_path, monkeypatch):
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    assert assets.fetch("tiny") == kept / "tiny-1.0"
    assert assets.fetch("./tiny") == Path("tiny")


def test_the_cache_lies_where_the_environment_says_or_in_the_users_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("RECOMMENDER_CACHE", "~/models")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert assets.cache_dir() == tmp_path / "models"
    monkeypatch.setenv("RECOMMENDER_CACHE", "")
    assert assets.cache_dir() == Path(platformdirs.user_cache_dir("recommender"))
