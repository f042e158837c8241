"""Work ends with the client that waits for it."""

from __future__ import annotations

import asyncio
import socket

import pytest
from fastapi import Request

from recommender.server.connection import while_connected
from tests.server.http_server import CHAT, RANK, Slow, raw_post, running, until


def http_request(*messages):
    """Return a request that receives these messages, and then nothing more."""
    remaining = list(messages)

    async def receive():
        if remaining:
            return remaining.pop(0)
        return await asyncio.Event().wait()

    return Request({"type": "http", "headers": []}, receive)


def test_work_is_done_while_the_client_stays():
    async def work():
        await asyncio.sleep(0.01)
        return "done"

    assert asyncio.run(while_connected(http_request(), work())) == "done"
    more_body = {"type": "http.request", "body": b"", "more_body": False}
    assert asyncio.run(while_connected(http_request(more_body), work())) == "done"


def test_work_is_cancelled_when_the_client_leaves():
    ended = []

    async def work():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    assert asyncio.run(while_connected(http_request({"type": "http.disconnect"}), work())) is None
    assert ended == [True]


def test_errors_of_the_work_are_raised():
    async def work():
        raise KeyError("wrong")

    with pytest.raises(KeyError):
        asyncio.run(while_connected(http_request(), work()))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [RANK, CHAT])
def test_who_leaves_frees_the_work_within_a_second(engine, path, stream):
    slow = Slow(engine, 0)
    body = {"k": 2, "explain": True, "stream": stream}
    if path == CHAT:
        body["messages"] = [{"role": "user", "content": "a comedy"}]
    with running(slow) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(raw_post(path, body))
            assert slow.writing.wait(30)
        assert slow.stopped.wait(1)
        until(lambda: server.metric("recommender_writing") == 0)
        if not stream:
            until(lambda: server.metric("recommender_disconnected_total") == 1)
