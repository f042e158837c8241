"""Pictures and speech as queries, with the real encoders: open_clip and Whisper; speech is spoken by eSpeak NG."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import soundfile
from PIL import Image, ImageFilter

from recommender.chat import Chat
from recommender.chat.media_queries import LIKENESS, MediaQueries
from recommender.chat.session import Session
from recommender.config import Config
from recommender.data.catalogue import Catalogue, Item
from recommender.data.spoken_titles import speaker
from recommender.data.standins import make_standins
from recommender.errors import DataError
from recommender.pipelines import train
from tests.chat.test_conversation import CATALOGUE, Ranker

pytestmark = pytest.mark.assets


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A catalogue with drawn posters, its config and its features."""
    folder = tmp_path_factory.mktemp("world")
    plain = Catalogue(Item(item.item_id, item.title, attributes=item.attributes) for item in CATALOGUE)
    drawn = make_standins(plain, folder / "media")
    with (folder / "items.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["item_id", "title", "genres", "image"])
        for item in drawn:
            rows.writerow([item.item_id, item.title, "|".join(item.attributes["genres"]), item.image])
    settings = {
        "data": {"items": str(folder / "items.csv")},
        "encoders": {"text": None, "cache": str(folder / "cache"), "collaborative_width": 0, "width": 6},
    }
    config = Config.parse(settings)
    return config, drawn, train.encode(config, train.load_catalogue(config), [])


@pytest.fixture(scope="module", params=["raw vectors", "the model's own"])
def media_queries(request, world):
    config, _, features = world
    return MediaQueries(config, features if request.param == "the model's own" else None)


def test_a_picture_is_most_like_itself_and_what_is_drawn_like_it(media_queries, world, tmp_path):
    _, drawn, _ = world
    for number, item in enumerate(drawn):
        gains = media_queries.see(item.image)
        assert gains.shape == (len(drawn),) and int(gains.argmax()) == number
        assert np.abs(gains).max() == pytest.approx(LIKENESS)
    with Image.open(drawn[3].image) as picture:
        picture.convert("RGB").resize((150, 170)).filter(ImageFilter.GaussianBlur(1)).save(tmp_path / "photo.jpg")
    assert int(media_queries.see(tmp_path / "photo.jpg").argmax()) == 3


@pytest.fixture(scope="module")
def say(tmp_path_factory):
    """Speak a text; returns the sound file."""
    folder, speak = tmp_path_factory.mktemp("speech"), speaker()

    def spoken(text):
        path = folder / f"{len(list(folder.iterdir()))}.wav"
        samples, rate = speak(text, "en-gb", 50, 130)
        soundfile.write(path, samples, rate)
        return path

    return spoken


@pytest.fixture
def session(world):
    config, _, features = world
    return Session(Chat(Ranker(), "films"), MediaQueries(config, features), k=3)


@pytest.mark.parametrize(
    ("text", "filters"),
    [
        ("I want a comedy, but no horror.", {"Comedy", "no Horror"}),
        ("Please show me films from the nineteen eighties.", {"1980 or later", "1989 or earlier"}),
        ("Nothing before nineteen ninety.", {"1990 or later"}),
    ],
)
def test_what_is_said_aloud_is_understood(session, say, text, filters):
    reply = session.hear(say(text))
    assert set(reply.filters) == filters and reply.items
    assert session.messages[0]["content"]


def test_a_spoken_and_a_shown_message_go_on_as_any_other(session, say, world):
    first = session.show(world[1][1].image)
    assert first.items[0].title == "Alien (1979)"
    assert session.hear(say("No horror, please.")).filters == ("no Horror",)
    assert session.say("a comedy").filters == ("Comedy", "no Horror")


def test_what_is_no_picture_and_no_speech_is_said_in_a_sentence(media_queries, tmp_path):
    (tmp_path / "no.jpg").write_bytes(b"not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "no.wav").write_bytes(b"RIFF....")
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(tmp_path / "long.flac", np.zeros(30 * 60 * 8_000, np.int16), 8_000)
    for name, said in (("no.jpg", "not a picture"), ("empty.png", "empty"), ("none.png", "cannot be read")):
        with pytest.raises(DataError, match=said):
            media_queries.see(tmp_path / name)
    for name, said in (
        ("no.wav", "not a readable sound"),
        ("silent.wav", "nothing is said"),
        ("long.flac", "30 minutes of sound are too long"),
        ("none.wav", "cannot be read"),
    ):
        with pytest.raises(DataError, match=said) as error:
            media_queries.hear(tmp_path / name)
        assert error.value.hint
