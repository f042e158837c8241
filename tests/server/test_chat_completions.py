"""Replies in OpenAI's shapes: whole and in chunks they say the same."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from recommender.chat import Chat, ChatItem, Reply, worded
from recommender.engine import RankedItem
from recommender.server.chat_completions import completion, completion_chunks, engine_request, ranked_items
from recommender.server.schemas import ChatBody

REPLY = Reply(
    "Films for you:",
    (ChatItem(1, "101", "The Red Night", -1.0), ChatItem(2, "102", "The Blue Day", -2.0)),
    filters=("not drama",),
    notes=("a note",),
    history=("107",),
)
JUSTIFIED = tuple(
    replace(item, justification=f"Because of {item.title}.", written_by="model", evidence={"claims": []})
    for item in ranked_items(REPLY)
)


async def stream_of(items, closed):
    try:
        for item in items:
            yield item
    finally:
        closed.append(True)


def chunks_of(reply, items, justified=None, one_pass=False):
    """Return the chunks as data, the last event's text, and whether the justifications were closed."""

    async def scenario():
        closed = []
        source = None if justified is None else stream_of(justified, closed)
        stream = completion_chunks("tiny", reply, items, source, one_pass)
        return [event.data async for event in stream], closed

    texts, closed = asyncio.run(scenario())
    return [json.loads(text) for text in texts[:-1]], texts[-1], closed


def text_of(chunks):
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


def test_a_whole_answer_has_the_text_and_the_items():
    answer = completion("tiny", REPLY, JUSTIFIED)
    assert answer["object"] == "chat.completion" and answer["model"] == "tiny"
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": worded(REPLY.opening, JUSTIFIED)}
    assert answer["choices"][0]["finish_reason"] == "stop" and answer["usage"]["total_tokens"] == 0
    assert [item["justification"] for item in answer["recommendations"]] == [i.justification for i in JUSTIFIED]
    assert answer["notes"] == ["a note"] and answer["filters"] == ["not drama"] and answer["asks"] is False


def test_chunks_have_the_list_first_then_each_justification_then_the_data():
    chunks, last, closed = chunks_of(REPLY, ranked_items(REPLY), JUSTIFIED)
    assert last == "[DONE]" and closed == [True]
    first, *middle, final = chunks
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": worded(REPLY.opening, ranked_items(REPLY))}
    assert text_of(middle) == "\n\n1. Because of The Red Night.\n2. Because of The Blue Day."
    assert final["choices"][0]["finish_reason"] == "stop"
    assert len({chunk["id"] for chunk in chunks}) == 1 and all("recommendations" not in chunk for chunk in middle)
    assert [(item["item_id"], item["justification"]) for item in first["recommendations"]] == [
        (item.item_id, None) for item in ranked_items(REPLY)
    ]
    told = [chunk["recommendation"]["justification"] for chunk in middle if "recommendation" in chunk]
    assert told == [item.justification for item in JUSTIFIED]
    whole = completion("tiny", REPLY, JUSTIFIED)
    for name in ("recommendations", "notes", "filters", "asks"):
        assert final[name] == whole[name]


def test_in_one_pass_each_item_comes_with_its_justification():
    chunks, _, _ = chunks_of(REPLY, ranked_items(REPLY), JUSTIFIED, one_pass=True)
    assert text_of(chunks) == worded(REPLY.opening, JUSTIFIED)


def test_items_whose_justification_never_came_stay_in_the_data():
    chunks, _, _ = chunks_of(REPLY, ranked_items(REPLY), JUSTIFIED[:1])
    assert [item["justification"] for item in chunks[-1]["recommendations"]] == ["Because of The Red Night.", None]


def test_without_justifications_there_are_two_chunks():
    chunks, _, closed = chunks_of(Reply("What do you feel like?", asks=True), ())
    assert len(chunks) == 2 and text_of(chunks) == "What do you feel like?" and closed == []
    assert chunks[-1]["recommendations"] == [] and chunks[-1]["asks"] is True


def test_chunks_that_are_left_close_the_justifications():
    async def scenario():
        closed = []
        stream = completion_chunks("tiny", REPLY, ranked_items(REPLY), stream_of(JUSTIFIED, closed))
        for _ in range(3):  # the list, a line break, the first justification
            await anext(stream)
        assert closed == []
        await stream.aclose()
        return closed

    assert asyncio.run(scenario()) == [True]


@pytest.mark.parametrize("user", [None, "ann"])
def test_the_engines_request_is_the_replys(user):
    message = {"role": "user", "content": ""}
    body = ChatBody(messages=[message], user=user, without=["history", "image"])
    request = engine_request(REPLY, body)
    assert request.history == ("107",) and request.k == 2 and request.user == user and request.without == ("image",)
    assert engine_request(Reply("nothing"), body).k == 1
    assert ranked_items(REPLY)[0] == RankedItem(1, "101", "The Red Night", -1.0)


def test_a_history_of_null_is_none_for_chat_as_for_lists(embedded_server, embedded):
    messages = [{"role": "user", "content": "something good"}]
    bodies = ({"messages": messages, "explain": False} | given for given in ({}, {"history": None}, {"k": None}))
    answers = [embedded_server.post("/v1/chat/completions", body) for body in bodies]
    assert [status for status, *_ in answers] == [200] * 3
    texts = {json.loads(text)["choices"][0]["message"]["content"] for _, _, text in answers}
    assert len(texts) == 1
    assert Chat.of(embedded).reply(messages, None, explain=False).text == texts.pop()


def test_every_part_is_marked_as_generated_and_says_that_a_machine_answers():
    answer = completion("tiny", REPLY, JUSTIFIED)
    assert answer["generated"] is True and "machine" in answer["disclosure"]
    assert [item["written_by"] for item in answer["recommendations"]] == ["model"] * 2
    chunks, _, _ = chunks_of(REPLY, ranked_items(REPLY), JUSTIFIED)
    assert all(chunk["generated"] is True for chunk in chunks)
    assert chunks[0]["disclosure"] == chunks[-1]["disclosure"] == answer["disclosure"]
