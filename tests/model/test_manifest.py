"""Manifests: files are checked by their sha256, and no folder with anything else in it is ever replaced."""

from __future__ import annotations

import json
import os

import pytest

from recommender.errors import CheckpointError
from recommender.model.manifest import MANIFEST, check_target, read_manifest, weights_of, write_manifest, written_folder


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "made"
    (made / "inner").mkdir(parents=True)
    for name in ("a.safetensors", "config.yaml", "README.md", "inner/b.json"):
        (made / name).write_text(name)
    write_manifest(made, {"format": 2})
    return made


def test_all_files_are_listed_below_their_folders(folder):
    manifest = read_manifest(folder)
    assert manifest["format"] == 2
    assert list(manifest["files"]) == ["README.md", "a.safetensors", "config.yaml", "inner/b.json"]


def test_only_weights_and_configuration_decide_the_answers(folder):
    assert set(weights_of(folder)) == {"a.safetensors", "config.yaml"}


@pytest.mark.parametrize("name", ["a.safetensors", "inner/b.json"])
def test_a_changed_or_missing_file_is_named(folder, name):
    (folder / name).write_text("else")
    with pytest.raises(CheckpointError, match=f"{name} is damaged"):
        read_manifest(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        read_manifest(folder)


def test_the_card_may_be_edited(folder):
    (folder / "README.md").write_text("my own words")
    assert read_manifest(folder)["format"] == 2


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"files": 3}', '{"files": null}'])
def test_a_damaged_manifest_is_one_clear_error(folder, content):
    (folder / MANIFEST).write_text(content)
    with pytest.raises(CheckpointError, match="is damaged"):
        read_manifest(folder)


def test_a_folder_without_a_manifest_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint.json"):
        read_manifest(tmp_path)


def test_a_target_is_free_empty_or_of_the_same_kind(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for target in (tmp_path / "new", tmp_path / "new" / "below", tmp_path / "empty", folder):
        check_target(target)
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="is a file; it would be replaced"):
        check_target(tmp_path / "note.txt")
    with pytest.raises(CheckpointError, match="a folder with other things in it"):
        check_target(tmp_path)
    with pytest.raises(CheckpointError, match="a folder with other things in it"):
        check_target(folder, "vllm.json")
    with pytest.raises(CheckpointError, match="cannot be made, .* is no folder"):
        check_target(tmp_path / "note.txt" / "below")


def test_a_link_to_nowhere_is_not_replaced(tmp_path):
    os.symlink(tmp_path / "gone", tmp_path / "link")
    with pytest.raises(CheckpointError, match="it would be replaced"):
        check_target(tmp_path / "link")


def test_a_block_that_fails_leaves_the_old_folder(folder):
    before = json.loads((folder / MANIFEST).read_text())
    with pytest.raises(KeyError), written_folder(folder) as written:
        (written / "half").write_text("half")
        raise KeyError
    assert read_manifest(folder) == before and [path.name for path in folder.parent.iterdir()] == ["made"]
    with written_folder(folder) as written:
        (written / "whole").write_text("whole")
    assert [path.name for path in folder.iterdir()] == ["whole"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        '"x"',
        "{}",
        '{"files": []}',
        '{"files": {}}',
        '{"files": "x"}',
        "[" * 5000,
        "\ud800",
        '{"files": 7}',
    ],
)
def test_a_manifest_that_vouches_for_nothing_is_none(folder, content):
    (folder / MANIFEST).write_text(content, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(CheckpointError) as error:
        read_manifest(folder)
    assert "\n" not in str(error.value) and error.value.hint


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "inner/../../outside"])
def test_a_manifest_names_no_file_outside_its_folder(folder, name):
    (folder.parent / "outside").write_text("x")
    facts = json.loads((folder / MANIFEST).read_text())
    facts["files"][name] = "0" * 64
    (folder / MANIFEST).write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match="outside the folder"):
        read_manifest(folder)


def test_what_is_read_must_be_vouched_for_and_notes_may_lie_beside(folder):
    (folder / "notes.txt").write_text("mine")
    assert read_manifest(folder)
    (folder / "fusion.safetensors").write_text("theirs")
    with pytest.raises(CheckpointError, match="does not vouch for fusion.safetensors"):
        read_manifest(folder)
