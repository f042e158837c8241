"""Labels of a checkpoint: written by training, added to one that has none, moved when it grows, and read a second time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recommender.cli.command_line import app
from recommender.config import Config
from recommender.data.catalogue import Catalogue, Item
from recommender.encoders.labels import MEDIA_LABELS, MediaLabels
from recommender.engine import Recommender, Request
from recommender.errors import CheckpointError, DataError
from recommender.model.checkpoint import from_pretrained
from recommender.model.manifest import read_manifest, write_manifest
from recommender.pipelines import train
from recommender.pipelines.extend import extend
from recommender.pipelines.media_labels import add_media_labels
from recommender.studies.label_check import check_labels
from tests.conftest import ITEMS, write_csv
from tests.encoders.test_labels import DOG, with_classifier
from tests.media_files import picture

#: items that have a picture of their own
PICTURED = range(0, ITEMS, 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, catalogue, llm_folder, text_folder, image_folder) -> Path:
    """A checkpoint of a catalogue of which half has pictures, and the others stand-ins, by a tower that sees dogs."""
    folder = tmp_path_factory.mktemp("labelling")
    rows = []
    for n, item in enumerate(catalogue):
        image = f"{n}.png" if n in PICTURED else ""
        if image:
            picture(n).save(folder / image)
        rows.append((item.item_id, item.title, "|".join(item.attributes["genres"]), *item.attributes["year"], image))
    write_csv(folder / "items.csv", "item_id title genres year image", rows)
    events = [(f"u{u}", catalogue[(u + t) % ITEMS].item_id, t) for u in range(8) for t in range(6)]
    write_csv(folder / "interactions.csv", "user_id item_id timestamp", events)
    tower = with_classifier(image_folder, folder / "tower", {DOG: 12.0})
    encoders = {"text": str(text_folder), "image": str(tower), "audio": None, "width": 6, "collaborative_width": 4}
    raw = {
        "data": {"items": str(folder / "items.csv"), "interactions": str(folder / "interactions.csv")},
        "base": {"llm": str(llm_folder), "dtype": "float32", "rank_layers": 1},
        "encoders": encoders | {"cache": str(folder / "encodings")},
        "lora": {"r": 2, "lora_alpha": 4},
        "prompt": {"history": 6, "titled": 0, "noun": "films"},
        "training": {"stages": [{"stage": "rank", "max_steps": 1, "batch_tokens": 128, "row_tokens": 64}]},
    }
    config = Config.parse(raw).updated({"data.standin_media": True})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.assets, "cache_dir", lambda: folder / "cache")
        train.train(config, folder / "model")
    return folder / "model"


@pytest.fixture
def bare(trained, tmp_path) -> Path:
    """A checkpoint from before there were labels."""
    folder = shutil.copytree(trained, tmp_path / "bare")
    (folder / MEDIA_LABELS).unlink()
    write_manifest(folder, json.loads((folder / "checkpoint.json").read_text()))
    return folder


def labelled(folder) -> list[int]:
    labels = MediaLabels.load(folder, ITEMS)
    return [item for item in range(ITEMS) if labels.sure("image", item)]


def test_training_labels_pictures_and_never_stand_ins(trained):
    checkpoint = from_pretrained(trained)
    assert checkpoint.model.features.present["image"].all()  # the stand-ins are read
    assert labelled(trained) == list(PICTURED) and checkpoint.labels.counts("image") == (10, 10)
    assert MEDIA_LABELS in read_manifest(trained)["files"]
    assert "10 of 10 pictures sure" in (trained / "README.md").read_text()
    assert all(not checkpoint.labels.of("image", item) for item in range(ITEMS) if item not in PICTURED)


def test_what_is_added_later_is_what_training_writes(trained, bare, tmp_path):
    add_media_labels(bare, tmp_path / "copy")
    assert (tmp_path / "copy" / MEDIA_LABELS).read_bytes() == (trained / MEDIA_LABELS).read_bytes()
    assert not (bare / MEDIA_LABELS).exists()
    add_media_labels(bare)
    assert Recommender.from_pretrained(bare).setup.labels.counts("image") == (10, 10)
    assert "10 of 10 pictures sure" in (bare / "README.md").read_text()


def test_a_checkpoint_without_labels_serves_and_says_nothing(bare):
    model = Recommender.from_pretrained(bare)
    items = model.answer(Request(history=("100",), k=5)).items
    assert model.setup.labels is None and len(items) == 5
    assert not any("media" in item.evidence or "poster" in item.justification for item in items)


def test_a_picture_that_the_model_did_not_read_is_not_spoken_of(bare):
    table = Path(Config.load(bare / "config.yaml").data.items)
    path, kept = table.parent / "4.png", (table.parent / "4.png").read_bytes()
    try:
        picture(99).save(path)
        add_media_labels(bare)
    finally:
        path.write_bytes(kept)
    assert labelled(bare) == [item for item in PICTURED if item != 4]


def test_the_independent_reading_agrees_and_finds_a_planted_label(trained, tmp_path):
    check = check_labels(trained)
    assert (check.pictures, check.sure, check.checked, check.same, check.unlike) == (10, 10, 10, 10, ())
    assert check.largest < 2e-3 and check_labels(trained, 3).checked == 3
    folder = shutil.copytree(trained, tmp_path / "planted")
    labels = MediaLabels.load(folder, ITEMS)
    labels.kinds["image"][6] = labels.kinds["image"][6][::-1]
    labels.save(folder / MEDIA_LABELS)
    assert check_labels(folder).unlike == ("106",)


def test_the_command_adds_and_counts(bare):
    result = CliRunner().invoke(app, ["justifications", "labels", str(bare), "--check", "4", "--json", "--quiet"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["labels"] == "10 of 10 pictures sure" and (told["read_again"], told["same"]) == (4, 4)


def test_what_cannot_be_labelled_is_one_clear_line(bare, image_folder):
    config = Config.load(bare / "config.yaml")
    write(bare, config.updated({"encoders.image": str(image_folder)}))
    with pytest.raises(DataError, match="none of its encoders"):
        add_media_labels(bare)
    with pytest.raises(DataError, match="holds no labels"):
        check_labels(bare)
    rows = Path(config.data.items).read_text().splitlines()
    fewer = Path(config.data.items).with_name("fewer.csv")
    fewer.write_text("\n".join(rows[:-1]) + "\n")
    write(bare, config.updated({"data.items": str(fewer)}))
    with pytest.raises(CheckpointError, match="another catalogue"):
        add_media_labels(bare)


def write(folder: Path, config: Config) -> None:
    (folder / "config.yaml").write_text(config.to_yaml())
    write_manifest(folder, json.loads((folder / "checkpoint.json").read_text()))


def test_labels_move_with_the_items_when_the_catalogue_grows(trained, tmp_path):
    checkpoint = from_pretrained(trained)
    checkpoint.config = checkpoint.config.updated({"data.standin_media": False})
    path = tmp_path / "new.png"
    picture(50).save(path)
    new = Item("new", "The red war", image=path, attributes={"genres": ("drama",), "year": ("1980",)})
    extended = extend(checkpoint, Catalogue([new, *checkpoint.catalogue]), "items.csv")
    moved = [item for item in range(ITEMS + 1) if extended.labels.sure("image", item)]
    assert moved == [0, *(item + 1 for item in PICTURED)]
