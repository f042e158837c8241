"""Validate, encode, tokenize: what is wrong with tables and media is named."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import refused, write_csv


def test_encode_and_tokenize_report(run, recipe):
    code, out, _ = run("encode", "--config", recipe, "--json", "-q")
    assert code == 0 and json.loads(out) == [{"modality": "collaborative", "items": 19, "absent": 1, "width": 4}]
    code, out, _ = run(
        *("tokenize", "--config", recipe, "--json", "-q"),
        *("--set", "semantic_ids.levels=3", "--set", "semantic_ids.codebook_size=4"),
    )
    report = json.loads(out)
    assert code == 0 and report["items"] == 20 and len(report["levels"]) == 4  # the last one against collisions
    code, out, _ = run("tokenize", "--config", recipe, "-q", "--set", "semantic_ids.levels=2")
    assert code == 0 and "use of the codes" in out and "what the codes of the first level mean" in out


def test_validate_tells_good_from_bad(run, tables, tmp_path):
    code, out, _ = run("validate", "--items", tables / "items.csv", "--interactions", tables / "interactions.csv")
    assert code == 0 and "20 items" in out and "no errors" in out
    write_csv(tmp_path / "items.csv", ("item_id", "title"), [("1", "a"), ("1", "b")])
    code, out, _ = run("validate", "--items", tmp_path / "items.csv", "--json")
    assert code == 2 and json.loads(out)["ok"] is False


def test_duplicate_item_ids(run, recipe, tmp_path):
    write_csv(tmp_path / "items.csv", ("item_id", "title"), [("101", "a"), ("101", "b")])
    settings = ("--set", f"data.items={tmp_path / 'items.csv'}")
    refused(run("encode", "--config", recipe, "-q", *settings), "items.csv, line 3", "'101', first in line 2")


@pytest.mark.parametrize(
    ("name", "content", "column"),
    [
        ("cut.jpg", "jpeg", "image"),
        ("text.wav", b"this is no sound", "audio"),
        ("empty.jpg", b"", "image"),
        ("empty.wav", b"", "audio"),
    ],
)
def test_damaged_media(run, tmp_path, name, content, column):
    path = tmp_path / name
    if content == "jpeg":
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        content = path.read_bytes()[:900]
    path.write_bytes(content)
    write_csv(tmp_path / "items.csv", ("item_id", "title", column), [("101", "a", name)])
    code, out, _ = run("validate", "--items", tmp_path / "items.csv")
    assert code == 2 and name in out and "hint" in out


def test_ids_that_look_like_smileys_stay_ids(run, tmp_path):
    write_csv(tmp_path / "items.csv", ("item_id", "title"), [("shop:a:17", "a"), ("shop:a:17", "b")])
    code, out, _ = run("validate", "--items", tmp_path / "items.csv", "--json")
    assert code == 2 and "shop:a:17" in json.dumps(json.loads(out))
