"""Images and speech over HTTP, in OpenAI's message parts, with the real encoders."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
import soundfile

from recommender.chat import Chat
from recommender.chat.english_patterns import PICTURE_TURN
from recommender.chat.media_queries import MediaQueries
from recommender.engine import Recommender
from recommender.errors import DataError
from recommender.server.message_media import MessageMedia
from recommender.server.schemas import ChatBody
from tests.chat.test_conversation import Ranker
from tests.chat.test_media_queries import say, world  # noqa: F401  (fixtures)
from tests.server.http_server import Server

pytestmark = pytest.mark.assets


def encoded(content):
    return base64.b64encode(content).decode()


def picture(content):
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{encoded(content)}"}}


def sound(content):
    return {"type": "input_audio", "input_audio": {"data": encoded(content), "format": "wav"}}


def chat(*contents):
    roles = ("user", "assistant") * 9
    messages = [{"role": role, "content": content} for role, content in zip(roles, contents, strict=False)]
    return ChatBody.model_validate({"messages": messages})


@pytest.fixture(scope="module")
def message_media(world):  # noqa: F811
    config, _, features = world
    return MessageMedia(Chat(Ranker(), "films"), MediaQueries(config, features))


def test_an_image_is_a_preference_and_speech_is_text(message_media, world, say):  # noqa: F811
    poster = world[1][1].image.read_bytes()
    messages, gains = message_media.read_messages(chat([picture(poster)]))
    assert messages == [{"role": "user", "content": PICTURE_TURN}] and int(gains.argmax()) == 1
    spoken = say("No horror, please.").read_bytes()
    parts = [{"type": "text", "text": "Hello."}, sound(spoken)]
    messages, gains = message_media.read_messages(chat([picture(poster)], "1. Alien (1979)", parts))
    assert (
        gains is None and messages[-1]["content"].startswith("Hello.\n") and "horror" in messages[-1]["content"].lower()
    )
    message_media.media_queries.hear = None  # what was heard once is remembered
    assert message_media.read_messages(chat(parts))[0][0]["content"] == messages[-1]["content"]


def test_what_is_no_image_is_named_without_its_path(message_media):
    with pytest.raises(DataError, match="^the picture: not a picture"):
        message_media.read_messages(chat([picture(b"no picture")]))


@pytest.fixture(scope="module")
def served(llm_folder, catalogue, features):
    import torch

    from recommender.config import Config
    from recommender.model import RecommenderModel, load_llm
    from recommender.model.checkpoint import Checkpoint
    from recommender.semantic_ids.codes import SemanticIds

    config = Config.parse({"base": {"llm": str(llm_folder), "dtype": "float32", "rank_layers": 2}, "lora": {"r": 4}})
    llm, tokenizer = load_llm(config.base)
    torch.manual_seed(1)
    model = RecommenderModel(llm, SemanticIds.atomic(len(catalogue)), features, config).eval()
    running = Server(Recommender(Checkpoint(model, tokenizer, catalogue, config)))
    yield running
    running.close()


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_goes_on_after_what_is_no_picture_and_half_an_hour_of_sound(served, stream):
    long = io.BytesIO()
    soundfile.write(long, np.zeros(30 * 60 * 8_000, np.int16), 8_000, format="FLAC")
    for part, told in ((picture(b"no"), "The picture: not a picture"), (sound(long.getvalue()), "30 minutes of sound")):
        body = {"messages": [{"role": "user", "content": [part]}], "stream": stream}
        status, _, text = served.post("/v1/chat/completions", body)
        assert status == 200 and told in text
        if not stream:
            assert json.loads(text)["asks"] and not json.loads(text)["recommendations"]
    body = {"messages": [{"role": "user", "content": [{"type": "text", "text": "a comedy"}]}], "explain": False}
    assert json.loads(served.post("/v1/chat/completions", body)[2])["recommendations"]


def picture_at(url):
    return {"type": "image_url", "image_url": {"url": url}}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ([picture_at("http://localhost/secret.png")], "0.image_url.image_url.url: send the picture itself"),
        ([picture_at("file:///etc/passwd")], "0.image_url.image_url.url: send the picture itself"),
        ([picture_at("data:image/png;base64,???")], "0.image_url.image_url.url: not base64"),
        (
            [{"type": "input_audio", "input_audio": {"data": "not base64!"}}],
            "0.input_audio.input_audio.data: not base64",
        ),
        ([{"type": "text", "text": "a"}, {"type": "video_url", "video_url": {"url": "x"}}], "1: input tag 'video_url'"),
    ],
)
def test_nothing_is_fetched_and_damaged_parts_are_refused(served, content, why):
    status, _, text = served.post("/v1/chat/completions", {"messages": [{"role": "user", "content": content}]})
    error = json.loads(text)["error"]
    assert status == 400 and error["message"].startswith(f"messages.0.content.{why}"), error
    assert error["param"] == f"messages.0.content.{why.partition(':')[0]}"


def test_what_is_neither_text_nor_parts_is_told_of_the_field(served):
    status, _, text = served.post("/v1/chat/completions", {"messages": [{"role": "user", "content": 5}]})
    assert (
        status == 400 and json.loads(text)["error"]["message"] == "messages.0.content: input should be a valid string"
    )
