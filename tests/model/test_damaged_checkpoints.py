"""Damaged and hostile checkpoint folders whose manifest is right: one clear line each, whatever reads them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.engine import Recommender
from recommender.errors import CheckpointError, ConfigError, RecommenderError
from recommender.model.checkpoint import item_ids_of, save_pretrained
from recommender.model.manifest import MANIFEST, write_manifest

DEEP = "[" * 3000 + "]" * 3000
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(12)
)


@pytest.fixture
def made(make_checkpoint, tmp_path):
    checkpoint = make_checkpoint()
    save_pretrained(checkpoint, tmp_path / "model")
    return tmp_path / "model", checkpoint.catalogue


def vouched(folder):
    """Write a manifest that is right, as whoever made the folder could."""
    facts = json.loads((folder / MANIFEST).read_text())
    write_manifest(folder, {name: value for name, value in facts.items() if name != "files"})


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("adapter.safetensors", cut),
        ("features.safetensors", cut),
        ("semantic_ids.safetensors", cut),
        ("adapter.safetensors", lambda path: path.write_bytes(b"\xff" * 64)),
        ("features.safetensors", lambda path: path.write_bytes(b"")),
        ("config.yaml", lambda path: path.write_text(DEEP)),
        ("config.yaml", lambda path: path.write_text(BOMB)),
        ("config.yaml", lambda path: path.write_text("[1, 2]")),
        ("config.yaml", lambda path: path.write_bytes(b"\xff\xfe\x00")),
        ("metrics.json", lambda path: path.write_text("[1, 2]")),
        ("metrics.json", lambda path: path.write_text(DEEP)),
        ("metrics.json", lambda path: path.unlink()),
        ("adapter.safetensors", lambda path: path.unlink()),
        ("fusion.safetensors", lambda path: path.write_bytes(b"no")),
        ("fusion.safetensors", lambda path: save_file({"x/y": np.zeros(3)}, path, {"weights": '{"x": [1, 2]}'})),
    ],
)
def test_a_folder_that_vouches_for_what_is_damaged_ends_in_one_line(made, name, change):
    folder, catalogue = made
    change(folder / name)
    vouched(folder)
    with pytest.raises((CheckpointError, ConfigError, RecommenderError)) as error:
        Recommender.from_pretrained(folder, catalogue)
    assert "\n" not in error.value.message and len(error.value.message) < 1000


def test_tables_of_another_number_of_items_are_named(made):
    folder, catalogue = made
    tensors = load_file(folder / "semantic_ids.safetensors")
    tensors = {"codes": np.arange(30)[:, None], "sizes": np.array([30])}
    save_file(tensors, folder / "semantic_ids.safetensors")
    vouched(folder)
    with pytest.raises(CheckpointError, match="items"):
        Recommender.from_pretrained(folder, catalogue)


@pytest.mark.parametrize("content", ["{}", "7", "[[]]", '"abc"', DEEP])
def test_item_ids_are_a_list_of_texts(made, content):
    folder, _ = made
    (folder / "item_ids.json").write_text(content)
    vouched(folder)
    with pytest.raises(CheckpointError, match="no list of item ids"):
        item_ids_of(folder)


@pytest.mark.parametrize(
    "facts", [{}, {"catalogue": []}, {"catalogue": {"items": "x"}}, {"format": 2, "prompts": [[]]}]
)
def test_a_manifest_without_what_it_should_say_is_damaged(made, facts):
    folder, catalogue = made
    write_manifest(folder, {"format": 2, "prompts": json.loads((folder / MANIFEST).read_text())["prompts"]} | facts)
    with pytest.raises(CheckpointError):
        Recommender.from_pretrained(folder, catalogue)


def test_a_config_of_aliases_of_aliases_is_refused_at_once(tmp_path):
    (tmp_path / "c.yaml").write_text(BOMB)
    with pytest.raises(ConfigError, match="values"):
        Config.load(tmp_path / "c.yaml")
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("place", ["fingerprint", "columns", "file", "format", "folder"])
def test_what_a_manifest_quotes_cannot_steer_the_terminal(made, place, tmp_path):
    folder, catalogue = made
    raw = "\x1b[2J\nok"
    if place == "folder":
        folder = folder.rename(tmp_path / raw)
    facts = json.loads((folder / MANIFEST).read_text())
    if place == "fingerprint":
        facts["catalogue"]["fingerprint"] = raw
        catalogue = Catalogue(catalogue[1:])
    elif place == "columns":
        facts["catalogue"] |= {"fingerprint": "0", "columns": {raw: "0"} | {str(n): "0" for n in range(1000)}}
    elif place == "file":
        facts["files"][raw] = "0"
    else:
        facts["format"] = raw
    (folder / MANIFEST).write_text(json.dumps(facts))
    with pytest.raises(CheckpointError) as error:
        Recommender.from_pretrained(folder, catalogue)
    assert "\x1b" not in str(error.value) and "\n" not in str(error.value) and "\\u001b" in str(error.value)
