"""Media that cannot be read: with `data.on_error: drop` the items stay without them, and it is said."""

from __future__ import annotations

import pytest
import soundfile

from recommender.config import Config
from recommender.data.catalogue import Catalogue, Item
from recommender.encoders import broken_media
from recommender.encoders.audio import SAMPLE_RATE
from recommender.encoders.broken_media import without_broken_media
from recommender.encoders.pipeline import encode_catalogue
from tests.data.made_videos import cut_in_half, make_video
from tests.media_files import picture, sound


@pytest.fixture
def config_of(image_folder, audio_file, tmp_path):
    def make(on_error="drop", **encoders) -> Config:
        named = {"text": None, "image": str(image_folder), "audio": str(audio_file), "cache": str(tmp_path / "cache")}
        return Config.model_validate({"data": {"on_error": on_error}, "encoders": named | encoders})

    return make


@pytest.fixture
def catalogue(tmp_path) -> Catalogue:
    """Items 0 to 6: a picture and a sound; a cut picture and a sound; a picture and no sound's bytes; a video; a cut one;
    an empty picture; nothing."""
    for name in ("good.png", "cut.png"):
        picture(0).save(tmp_path / name)
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    (tmp_path / "empty.png").touch()
    soundfile.write(tmp_path / "good.wav", sound(0.7), SAMPLE_RATE)
    (tmp_path / "cut.wav").write_text("no sound")
    make_video(tmp_path / "good.webm")
    cut_in_half(make_video(tmp_path / "cut.webm"))
    media = [
        {"image": "good.png", "audio": "good.wav"},
        {"image": "cut.png", "audio": "good.wav"},
        {"image": "good.png", "audio": "cut.wav"},
        {"video": "good.webm"},
        {"video": "cut.webm"},
        {"image": "empty.png"},
        {},
    ]
    paths = [{name: tmp_path / file for name, file in own.items()} for own in media]
    return Catalogue(Item(str(number), f"film {number}", **own) for number, own in enumerate(paths))


def media_of(catalogue) -> list[set[str]]:
    return [{name for name in ("image", "audio", "video") if getattr(item, name)} for item in catalogue]


def test_items_stay_without_what_cannot_be_read(catalogue, config_of, caplog):
    left = without_broken_media(catalogue, config_of())
    assert media_of(left) == [{"image", "audio"}, {"audio"}, {"image"}, {"video"}, set(), set(), set()]
    assert left.item_ids == catalogue.item_ids and left.fingerprint == catalogue.fingerprint
    (said,) = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert "left out 4 media" in said and "item '1'" in said and "cut.png" in said and "and 1 more" in said
    raw = encode_catalogue(left, config_of().encoders)
    assert raw.present["image"].tolist() == [True, False, True, True, False, False, False]
    assert raw.present["audio"].tolist() == [True, True, False, True, False, False, False]


def test_without_drop_nothing_is_read(catalogue, config_of, monkeypatch):
    monkeypatch.setattr(broken_media, "read_image", lambda path: pytest.fail("a file was read"))
    assert without_broken_media(catalogue, config_of("stop")) is catalogue


def test_good_files_are_read_once_and_those_of_encoded_items_never(catalogue, config_of, monkeypatch):
    read, real = [], broken_media.read_image
    monkeypatch.setattr(broken_media, "read_image", lambda path: read.append(path.name) or real(path))
    without_broken_media(catalogue, config_of())
    assert read.count("good.png") == 1
    without_broken_media(catalogue, config_of())
    assert read.count("good.png") == 1
    read.clear()
    left = without_broken_media(catalogue, config_of(), encoded={"1", "2", "4", "5"})
    assert not read and left is catalogue


@pytest.mark.parametrize(("off", "left"), [("image", {"image", "audio"}), ("audio", {"image", "audio"})])
def test_media_that_no_encoder_reads_are_not_looked_at(catalogue, config_of, off, left):
    kept = media_of(without_broken_media(catalogue, config_of(**{off: None})))
    assert kept[1 if off == "image" else 2] == left


def test_a_mended_file_is_read_again(catalogue, config_of):
    without_broken_media(catalogue, config_of())
    picture(3).save(catalogue[1].image)
    assert media_of(without_broken_media(catalogue, config_of()))[1] == {"image", "audio"}
