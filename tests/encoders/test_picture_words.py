"""What pictures show, in words: what the tower is sure of, joined as facts, and a clear line where it can tell nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recommender.config import DataConfig, EncodersConfig
from recommender.data.catalogue import Catalogue, Item
from recommender.encoders.labels import PictureLabeller
from recommender.encoders.media_sources import Frames
from recommender.encoders.picture_words import describe_pictures, said, save_picture_words, telling_tower
from recommender.errors import ConfigError, DataError
from tests.conftest import write_csv
from tests.data.made_videos import RED, make_video
from tests.encoders.test_labels import CAT, COMIC_BOOK, DOG, catalogue_of, pictures, settings, with_classifier

__all__ = ["pictures"]  # a fixture


def test_words_are_those_of_which_the_tower_is_sure_enough():
    names = ("dog", "cat", "ship", "ship")
    assert said(np.array([2, 3, 0]), np.array([0.6, 0.55, 0.3]), names, 0.5) == ("ship",)
    assert said(np.array([2, 1, 0]), np.array([0.6, 0.3, 0.1]), names, 0.2) == ("ship", "cat")
    assert said(np.array([-1, -1, -1]), np.zeros(3), names, 0.0) == ()


def test_kinds_or_classes_of_each_picture(image_folder, tmp_path, pictures):
    tower = with_classifier(image_folder, tmp_path / "tower", {DOG: 12.0, CAT: 11.0})
    config, items = settings(tower, tmp_path), catalogue_of(pictures, absent=(2,))
    kinds = describe_pictures(items, config, least=0.2)
    assert kinds[0] == ("dog", "cat") and kinds[2] == () and len(kinds) == 4
    assert describe_pictures(items, config, least=0.95) == [()] * 4
    classes = describe_pictures(items, config, least=0.2, classes=True)
    assert classes[0] == ("Tibetan Terrier", "tabby cat") and classes[2] == ()


def test_a_class_that_is_of_no_kind_is_said_as_a_class_only(image_folder, tmp_path, pictures):
    config = settings(with_classifier(image_folder, tmp_path / "tower", {COMIC_BOOK: 20.0}), tmp_path)
    assert describe_pictures(catalogue_of(pictures), config) == [()] * 4
    assert describe_pictures(catalogue_of(pictures), config, classes=True) == [("comic book",)] * 4


def test_towers_that_cannot_tell_are_one_clear_line(image_folder):
    with pytest.raises(ConfigError, match="neither a classifier"):
        telling_tower(EncodersConfig(image=str(image_folder)))
    with pytest.raises(ConfigError, match=r"encoders\.image: is no encoder"):
        telling_tower(EncodersConfig(image=None))


def test_the_table_is_joined_as_facts_and_one_without_words_is_not_written(tmp_path):
    write_csv(tmp_path / "items.csv", "item_id title", [("1", "a"), ("2", "b")])
    save_picture_words(tmp_path / "shown.jsonl", ["1", "2"], [("dog", "ship"), ()])
    assert json.loads((tmp_path / "shown.jsonl").read_text()) == {"item_id": "1", "shown": ["dog", "ship"]}
    facts = {"table": str(tmp_path / "shown.jsonl"), "by": "item_id"}
    joined = Catalogue.load(str(tmp_path / "items.csv"), DataConfig(items=str(tmp_path / "items.csv"), facts=facts))
    assert joined[0].attributes["shown"] == ("dog", "ship") and "ship" in joined.document(0)
    with pytest.raises(DataError, match="sure of nothing") as error:
        save_picture_words(tmp_path / "none.jsonl", ["1", "2"], [(), ()])
    assert "--least" in error.value.hint and not (tmp_path / "none.jsonl").exists()


def test_a_video_shows_what_its_frames_show_in_the_mean(image_folder, tmp_path, pictures):
    config = settings(with_classifier(image_folder, tmp_path / "tower", {DOG: 12.0}), tmp_path)
    films = Catalogue([Item("1", "film", video=make_video(tmp_path / "film.mp4", scenes=(RED,))), Item("2", "none")])
    assert describe_pictures(films, config) == [("dog",), ()]
    labeller = PictureLabeller(telling_tower(config))
    labeller.load()
    one, other = (labeller.prepare(path) for path in pictures[:2])
    alone = labeller.label([one, other])
    together = labeller.label([one, Frames([one, other, other])])
    np.testing.assert_allclose(together, [alone[0], (alone[0] + 2 * alone[1]) / 3], atol=1e-5)


def test_a_catalogue_without_pictures_and_videos_is_one_clear_line(image_folder, tmp_path):
    config = settings(with_classifier(image_folder, tmp_path / "tower", {DOG: 12.0}), tmp_path)
    with pytest.raises(DataError, match="no item has a picture of its own"):
        describe_pictures(Catalogue([Item("1", "film")]), config)
