"""Server-sent events: JSON in one line, errors as events, and a source that is closed in every case."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.errors import EngineLostError, RecommenderError
from recommender.server.event_stream import event_stream, json_event, text_event
from recommender.server.http_errors import overloaded
from recommender.server.http_metrics import HttpMetrics
from tests.server.http_server import events

TEXT = st.text(st.characters(codec="utf-8"))  # requests can bring no lone surrogate
SCOPE = {"type": "http", "method": "POST", "headers": []}


@given(TEXT | st.dictionaries(TEXT, TEXT))
def test_data_is_one_line_of_json_that_comes_back(data):
    text = json_event(data, "items").encode().decode()
    assert text.startswith("event: items\ndata: ") and text.endswith("\n\n") and text.count("\n") == 3
    assert events(text) == [("items", data)]


def test_text_is_sent_as_it_is():
    assert text_event("[DONE]").encode() == b"data: [DONE]\n\n"


class Client:
    """Receives what an application sends; leaves after `leaves_after` messages."""

    def __init__(self, leaves_after=None):
        self.messages, self.leaves_after, self.left = [], leaves_after, asyncio.Event()

    async def receive(self):
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.messages.append(message)
        if self.leaves_after == len(self.messages):
            self.left.set()

    @property
    def text(self):
        return b"".join(message.get("body", b"") for message in self.messages).decode()


class Source:
    """Events that note when they are closed; after the last one an error, or an endless wait."""

    def __init__(self, *names, error=None, endless=False):
        self.names, self.error, self.endless, self.closed = names, error, endless, False

    async def events(self):
        try:
            for name in self.names:
                yield json_event({}, name)
            if self.error is not None:
                raise self.error
            if self.endless:
                await asyncio.sleep(60)
        finally:
            self.closed = True


def sent(source, leaves_after=None, metrics=None):
    async def scenario():
        client = Client(leaves_after)
        response = event_stream(source.events(), metrics or HttpMetrics(), drain_seconds=5)
        await asyncio.wait_for(response(SCOPE, client.receive, client.send), 10)
        return client

    return asyncio.run(scenario())


def test_a_stream_is_sent_event_by_event_and_ends():
    source = Source("items", "done")
    client = sent(source)
    start, *bodies = client.messages
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert start["status"] == 200 and headers["content-type"].startswith("text/event-stream")
    assert headers["cache-control"] == "no-store"
    assert [body["more_body"] for body in bodies] == [True, True, False]
    assert [name for name, _ in events(client.text)] == ["items", "done"] and source.closed


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (overloaded(), "overloaded"),
        (EngineLostError("gone"), "engine_lost"),
        (RecommenderError("no such item"), "invalid_request"),
    ],
)
def test_an_error_after_the_first_byte_is_an_event(error, code):
    source = Source("items", error=error)
    stream = events(sent(source).text)
    assert [name for name, _ in stream] == ["items", None] and stream[1][1]["error"]["code"] == code
    assert source.closed


def test_a_client_that_leaves_closes_the_source():
    source = Source("items", endless=True)
    client = sent(source, leaves_after=2)
    assert events(client.text) == [("items", {})] and source.closed
