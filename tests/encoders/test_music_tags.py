"""Tags as words: the surest of each sound, cached, and a table that keeps to one vocabulary."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recommender.config import DataConfig, EncodersConfig
from recommender.data.catalogue import Catalogue, Item
from recommender.data.video import read_sound_track
from recommender.encoders.music import MusicEncoder
from recommender.encoders.music_tags import MOST, check_vocabulary, surest, tag_sounds, tagger
from recommender.encoders.sound_words import save_words
from recommender.errors import ConfigError, DataError
from tests.data.made_videos import make_video
from tests.encoders.test_music import TAGS, music_folder  # noqa: F401 - a fixture

NAMES = tuple("abcdefgh")


def test_the_surest_tags_come_first_and_doubtful_ones_not_at_all():
    assert surest(np.float32([0.1, 0.6, 0.3, 0.2]), NAMES, least=0.2) == ("b", "c", "d")
    assert len(surest(np.ones(8, np.float32), NAMES, least=0.2)) == MOST
    assert surest(np.zeros(8, np.float32), NAMES, least=0.2) == ()


def test_items_get_tags_of_their_own_sound_and_only_once_computed(media_catalogue, music_folder, tmp_path, monkeypatch):  # noqa: F811
    config = EncodersConfig(cache=str(tmp_path / "cache"))
    words = tag_sounds(media_catalogue, str(music_folder), config, least=0.0)
    encoder = MusicEncoder(str(music_folder))
    confidences = encoder.tag([encoder.prepare(media_catalogue[0].audio)])[0]
    assert words[0] == tuple(TAGS[n] for n in np.argsort(-confidences)) and words[3] == ()
    monkeypatch.setattr(MusicEncoder, "tag", lambda self, batch: pytest.fail("computed twice"))
    assert tag_sounds(media_catalogue, str(music_folder), config, least=0.0) == words
    assert set(tag_sounds(media_catalogue, str(music_folder), config, least=1.0)) == {()}


def test_a_video_gets_the_tags_of_its_sound_track(music_folder, tmp_path):  # noqa: F811
    film = make_video(tmp_path / "film.mp4")
    encoder = MusicEncoder(str(music_folder))
    confidences = encoder.tag([encoder.prepare(read_sound_track(film, 300))])[0]
    config = EncodersConfig(cache=str(tmp_path / "cache"))
    words = tag_sounds(Catalogue([Item("1", "Film", video=film)]), str(music_folder), config, least=0.0)
    assert words == [tuple(TAGS[n] for n in np.argsort(-confidences))]


def test_the_table_gives_items_an_attribute(tmp_path):
    save_words(tmp_path / "w.jsonl", ["1", "2"], {"sound": [("quiet",), ()], "tags": [(), ("jazz", "slow")]})
    rows = [json.loads(line) for line in (tmp_path / "w.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows == [{"item_id": "1", "sound": ["quiet"]}, {"item_id": "2", "tags": ["jazz", "slow"]}]
    (tmp_path / "items.csv").write_text("item_id,title\n1,A\n2,B\n", encoding="utf-8")
    facts = {"table": str(tmp_path / "w.jsonl"), "by": "item_id"}
    catalogue = Catalogue.load(str(tmp_path / "items.csv"), DataConfig(items="items.csv", facts=facts))
    assert catalogue[1].attributes["tags"] == ("jazz", "slow") and "jazz" in catalogue.document(1)


def test_a_table_with_another_vocabulary_is_not_written_over(tmp_path):
    path = tmp_path / "w.jsonl"
    check_vocabulary(path, NAMES)
    path.write_text('{"item_id": "1", "tags": ["a", "jazz"]}\n', encoding="utf-8")
    check_vocabulary(path, ("a", "jazz"))
    with pytest.raises(DataError, match="another vocabulary, such as 'jazz'") as error:
        check_vocabulary(path, NAMES)
    assert "train again" in error.value.hint
    with pytest.raises(DataError, match="holds tags, such as 'a', and would be written without any"):
        check_vocabulary(path, None)
    path.write_text("no table\n", encoding="utf-8")
    check_vocabulary(path, NAMES)


def test_another_encoder_is_no_tagger():
    with pytest.raises(ConfigError, match="is no tagger of music"):
        tagger("whisper-tiny.en")
