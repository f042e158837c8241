"""Planted worlds: where the plant is, who takes it, and the middle of which parts lies in it."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from recommender.config import Config
from recommender.data.media import read_audio
from recommender.studies import planted_media
from recommender.studies.attribution import first_case
from recommender.studies.planted_media import Plant, make_world, parts_of, planted_recipe
from tests.studies.test_attribution import FOUR, HISTORIES


def test_every_second_picture_has_a_badge_where_it_is_said(tmp_path):
    plants = make_world(tmp_path, "image", 12, 0)
    lines = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert sorted(plants) == [0, 2, 4, 6, 8, 10] and len(lines) == 12
    for item, plant in plants.items():
        pixels = np.asarray(Image.open(tmp_path / lines[item]["image"]), int)
        yellow = (pixels[..., 0] > 250) & (pixels[..., 1] > 250) & (pixels[..., 2] < 5)
        rows, columns = np.nonzero(yellow)
        middle = float(np.median(columns)) / 224, float(np.median(rows)) / 224
        assert plant.share_of((*(x - 0.01 for x in middle), *(x + 0.01 for x in middle))) == pytest.approx(1.0)
        assert plant.share_of((0, 0, 1, 1)) == pytest.approx((64 / 224) ** 2)
    with (tmp_path / "interactions.csv").open() as file:
        events = list(csv.DictReader(file))
    planted_of = {name: {int(e["item_id"][1:]) % 2 for e in events if e["user_id"] == name} for name in ("u0", "u1")}
    assert planted_of == {"u0": {0}, "u1": {1}}


def test_every_second_sound_has_a_tone_where_it_is_said(tmp_path):
    plants = make_world(tmp_path, "audio", 4, 0)
    for item, plant in plants.items():
        sound = read_audio(tmp_path / "media" / f"{item}.wav")
        levels = np.abs(sound[: len(sound) // 80 * 80]).reshape(80, -1).max(1)
        loudest = np.flatnonzero(levels > 0.35) / 80
        assert plant.share_of((loudest.min() + 1 / 40, loudest.max())) == pytest.approx(1.0)


def test_the_recipe_takes_base_and_tower_and_nothing_else(tmp_path):
    config = Config().updated({"encoders.text": "all-minilm-l6-v2", "encoders.audio": None})
    recipe = planted_recipe(config, "image", tmp_path, 3)
    assert recipe.base.llm == config.base.llm and recipe.encoders.named("image") == config.encoders.named("image")
    assert recipe.encoders.named("text") is None and recipe.encoders.collaborative_width == 0


def test_parts_are_shares_of_the_medium(media_engine):
    assert parts_of(first_case(media_engine, "image", HISTORIES[0], 0, FOUR).worth)[3] == (0.5, 0.5, 1.0, 1.0)
    first, *_ = parts_of(first_case(media_engine, "audio", HISTORIES[0], 0, FOUR).worth)
    assert first == pytest.approx((0, 1 / 3), abs=1e-3)
    plant = Plant((0.25, 0.5))
    assert [plant.share_of(part) for part in ((0.0, 0.25), (0.25, 0.5), (0.0, 0.5))] == [0.0, 1.0, 0.5]


def test_a_planted_world_is_trained_and_pointed_at(config, image_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(planted_media, "_PEOPLE", 12)
    changes = {"encoders.text": None, "encoders.audio": None, "encoders.image": str(image_folder)}
    changes |= {"encoders.cache": str(tmp_path / "encodings")}
    told = planted_media.planted_study(config.updated(changes), tmp_path, 6, FOUR)
    assert set(told) == {"image"} and told["image"]["cases"] == 6 and 0 <= told["image"]["hits"] <= 6
    assert 0 < told["image"]["by chance"] < 0.5
