"""Pictures and speech as queries, with the real encoders: open_clip and Whisper; speech is spoken by eSpeak NG."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import soundfile
from PIL import Image, ImageFilter

from recommender.chat import Chat
from recommender.chat.media_queries import LIKENESS, MediaQueries, likeness_nats
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


@pytest.fixture(scope="module", params=["raw vectors", "the model's own", "a model of parts"])
def media_queries(request, world):
    config, _, features = world
    if request.param == "a model of parts":  # a shown picture is compared as a whole, whatever the model reads
        return MediaQueries(config.updated({"encoders.image_parts": 4}))
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


def _blank(name):
    """Return pictures in which nothing is to be seen."""
    random = np.random.default_rng(0)
    black = np.zeros((240, 180, 3), np.uint8)
    hot = black.copy()
    hot[100, 90] = 255
    return {
        "black": Image.fromarray(black),
        "white": Image.new("RGB", (300, 300), "white"),
        "red": Image.new("RGB", (64, 64), "#a01010"),
        "grey": Image.new("L", (64, 64), 77),
        "transparent": Image.new("RGBA", (64, 64), (255, 0, 0, 0)),
        "noise of a dark lens": Image.fromarray(random.integers(0, 8, black.shape, dtype=np.uint8)),
        "a hot pixel": Image.fromarray(hot),
    }[name]


@pytest.mark.parametrize(
    "name", ["black", "white", "red", "grey", "transparent", "noise of a dark lens", "a hot pixel"]
)
def test_a_picture_in_which_nothing_is_to_be_seen_is_said_and_ranks_nothing(session, tmp_path, name):
    _blank(name).save(tmp_path / "blank.png")
    with pytest.raises(DataError, match="nothing is to be seen in it") as error:
        session.show(tmp_path / "blank.png")
    assert error.value.hint and not session.messages


@pytest.mark.parametrize("level", [0.0, 0.4], ids=["zeros", "a constant voltage"])
@pytest.mark.parametrize("samples", [1, 500, 16_000])
def test_a_sound_in_which_nothing_is_to_be_heard_is_said_and_ranks_nothing(session, tmp_path, level, samples):
    soundfile.write(tmp_path / "silent.wav", np.full(samples, level), 16_000)
    with pytest.raises(DataError, match="nothing is said in it"):
        session.hear(tmp_path / "silent.wav")
    assert not session.messages


VECTORS = np.array([[1, 0], [0, 1], [1, 1]], np.float32)


@pytest.mark.parametrize("vector", [[0, 0], [np.nan, 1], [np.inf, 0]])
def test_a_vector_that_points_nowhere_ranks_nothing(vector):
    with pytest.raises(DataError, match="the picture: the image encoder makes nothing of it"):
        likeness_nats("the picture", np.array(vector, np.float32), VECTORS, np.ones(3, bool))


@pytest.mark.parametrize(
    ("vectors", "known"),
    [(VECTORS, [True, False, False]), (VECTORS[[0, 0, 0]] * np.array([[1], [3], [0.7]]), [True, True, True])],
    ids=["one picture", "the same pictures"],
)
def test_where_no_item_is_more_like_a_picture_than_another_it_ranks_nothing(vectors, known):
    with pytest.raises(DataError, match="equally like it"):
        likeness_nats("the picture", np.array([0.3, 0.8], np.float32), vectors.astype(np.float32), np.array(known))


def test_items_without_a_vector_of_numbers_get_no_nats():
    vectors = np.vstack([VECTORS, [[np.nan, 1]]]).astype(np.float32)
    nats = likeness_nats("the picture", np.array([1, 0], np.float32), vectors, np.ones(4, bool))
    assert np.isfinite(nats).all() and nats[3] == 0 and nats.argmax() == 0
