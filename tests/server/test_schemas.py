"""Bodies: which messages are read how, and which lists and texts are too long."""

from __future__ import annotations

import base64

import pytest
from pydantic import ValidationError

from recommender.server.http_errors import HttpError
from recommender.server.schemas import (
    MOST_PARTS,
    ChatBody,
    ChatMessage,
    FeedbackBody,
    RecommendationsBody,
    check_list_lengths,
    check_text_length,
)


def encoded(content):
    return base64.b64encode(content).decode()


def image(content):
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded(content)}", "detail": "low"}}


def sound(content):
    return {"type": "input_audio", "input_audio": {"data": encoded(content), "format": "wav"}}


def text(content):
    return {"type": "text", "text": content}


def test_the_parts_of_a_message_are_told_apart():
    parts = [text("one"), image(b"\x00picture"), text("two"), sound(b"sound"), image(b"second")]
    message = ChatMessage.model_validate({"role": "user", "content": parts, "name": "ignored"})
    assert message.text == "one\ntwo" and message.images == [b"\x00picture", b"second"]
    assert message.sounds == [b"sound"]


@pytest.mark.parametrize("content", ["plain", None])
def test_a_message_without_parts_has_no_media(content):
    message = ChatMessage(role="assistant", content=content)
    assert message.text == (content or "") and message.images == message.sounds == []


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}},
        {"type": "image_url", "image_url": {"url": "data:text/html;base64,aGk="}},
        {"type": "image_url", "image_url": {"url": "data:image/png,aGk="}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,a"}},
        {"type": "input_audio", "input_audio": {"data": "äöü"}},
        {"type": "text"},
        {"type": "file", "file": {}},
        "text",
    ],
)
def test_other_parts_are_refused(part):
    with pytest.raises(ValidationError):
        ChatMessage.model_validate({"role": "user", "content": [part]})


def test_what_openais_api_knows_beside_is_ignored_in_chats_only():
    body = ChatBody.model_validate({"messages": [{"role": "user", "content": "x"}], "temperature": 0.5, "n": 1})
    assert not hasattr(body, "temperature") and body.k == 5 and body.explain and not body.stream
    with pytest.raises(ValidationError):
        RecommendationsBody.model_validate({"temperature": 0.5})
    with pytest.raises(ValidationError):
        FeedbackBody.model_validate({"item_id": "1", "opinion": "helpful", "temperature": 0.5})


def test_a_recommendation_is_not_justified_unless_asked_for():
    assert RecommendationsBody().explain is False and RecommendationsBody().k == 10
    assert RecommendationsBody.model_validate({"history": [1, "2"]}).history == ("1", "2")


def test_a_message_has_a_bounded_number_of_parts():
    def body(parts):
        return {"messages": [{"role": "user", "content": [text("a")] * parts}]}

    assert len(ChatBody.model_validate(body(MOST_PARTS)).messages[0].content) == MOST_PARTS
    with pytest.raises(ValidationError, match=f"at most {MOST_PARTS} items"):
        ChatBody.model_validate(body(MOST_PARTS + 1))


@pytest.mark.parametrize("field", ["history", "exclude", "only"])
def test_lists_have_a_longest_length(field):
    check_list_lengths(RecommendationsBody.model_validate({field: ["1"] * 3}), 3)
    with pytest.raises(HttpError, match=f"{field}: more than 3 items") as refused:
        check_list_lengths(RecommendationsBody.model_validate({field: ["1"] * 4}), 3)
    assert refused.value.status_code == 400 and refused.value.param == field


def test_all_messages_together_have_a_longest_text():
    messages = [
        {"role": "user", "content": "x" * 6},
        {"role": "assistant", "content": [text("y" * 4), sound(b"z" * 99)]},
    ]
    body = ChatBody.model_validate({"messages": messages})
    check_text_length(body.messages, 10)
    with pytest.raises(HttpError, match="more than 9 characters") as refused:
        check_text_length(body.messages, 9)
    assert refused.value.code == "too_long" and refused.value.param == "messages"


def test_null_is_a_field_that_is_not_given_at_every_door():
    say = {"messages": [{"role": "user", "content": "good"}]}
    nulls = dict.fromkeys(("history", "k", "explain", "user", "stream", "one_pass", "model"))
    assert ChatBody.model_validate(say | nulls) == ChatBody.model_validate(say)
    nulls = dict.fromkeys(("history", "k", "exclude", "only", "filters", "boosts", "vectors", "explain", "stream"))
    assert RecommendationsBody.model_validate(nulls) == RecommendationsBody()
    opinion = {"item_id": "50", "opinion": "wrong"}
    nulls = dict.fromkeys(("facts", "time", "justification", "user", "model"))
    assert FeedbackBody.model_validate(opinion | nulls) == FeedbackBody.model_validate(opinion)
    for body, given in ((ChatBody, {"messages": None}), (FeedbackBody, {"item_id": None, "opinion": "wrong"})):
        with pytest.raises(ValidationError, match="required"):
            body.model_validate(given)
    with pytest.raises(ValidationError, match="[Ee]xtra"):  # null or not, nobody knows the name
        RecommendationsBody.model_validate({"hisotry": None})
