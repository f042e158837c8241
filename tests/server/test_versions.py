"""A new version takes over between two requests: none is lost, a broken one changes nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import uvicorn
from mcp import Client

from recommender.adapters.shipped import manifest_digest
from recommender.chat.media_queries import MediaQueries
from recommender.config import ServingConfig
from recommender.errors import CheckpointError
from recommender.server import versions as versions_module
from recommender.server.app import create_app
from recommender.server.http_metrics import HttpMetrics
from recommender.server.uvicorn_server import server_config
from recommender.server.versions import RELOAD, Version, Versions
from tests.server.http_server import RANK, Server, WrappedEngine, until

FORGET_ENDED = versions_module._forget_ended


@pytest.fixture(autouse=True)
def versions_begin_and_end_at_once(monkeypatch):
    """Neither are encoders of media loaded for each version that begins, nor all that this process holds searched for each
    that ends: a second each. One test is about the search, and tests/server/test_service.py about the encoders."""
    monkeypatch.setattr(versions_module, "_forget_ended", lambda: None)
    monkeypatch.setattr(MediaQueries, "load", lambda self: None)


class Named(WrappedEngine):
    """An engine that says when it is closed, and can be slow."""

    def __init__(self, engine, seconds=0.0):
        super().__init__(engine)
        self.seconds, self.closed, self.answered_closed = seconds, False, False

    def answer_many(self, requests):
        time.sleep(self.seconds)
        self.answered_closed |= self.closed
        return self.engine.answer_many(requests)

    def close(self):
        self.closed = True


class Served(Server):
    """A server of versions: `self.now` is what lies in the checkpoint's folder."""

    def __init__(self, engine, look_seconds=None, seconds=0.0):
        self.engine, self.now, self.opened, self.metrics = engine, "one", [], HttpMetrics()
        self.seconds, self.limits = seconds, ServingConfig(drain_seconds=5)
        self.versions = Versions(self.open(), self.open, lambda: self.now, look_seconds)
        super().__init__(None)

    def open(self, before=None):
        if self.now == "broken":
            raise CheckpointError("model: the file adapter.safetensors is damaged", "copy it again")
        self.opened.append(Named(self.engine, self.seconds))
        app = create_app(self.opened[-1], self.now, self.limits, metrics=self.metrics)
        return Version(self.opened[-1], app, self.now)

    def names(self):
        return [model["id"] for model in json.loads(self.get("/v1/models")[2])["data"]]

    def reload(self):
        status, _, body = self.post(RELOAD, b"")
        return status, json.loads(body)


@pytest.fixture
def serve(embedded, monkeypatch):
    """Start servers of versions."""
    started = []

    def start(**options):
        monkeypatch.setattr("tests.server.http_server.create_app", lambda *_: started_app[0])
        started_app = [None]
        served = Served.__new__(Served)
        monkeypatch.setattr(
            "tests.server.http_server.server_config",
            lambda _, settings, **more: server_config(served.versions, settings, **more),
        )
        Served.__init__(served, embedded, **options)
        started.append(served)
        return served

    yield start
    for served in started:
        served.close()


def settled(server):
    """Return which engines are closed, once all but the last are, or after a while."""
    deadline = time.monotonic() + 20
    while not all(engine.closed for engine in server.opened[:-1]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return [engine.closed for engine in server.opened]


def test_a_new_version_takes_over_and_the_old_one_is_closed(serve):
    server = serve()
    assert server.names() == ["one"] and server.reload() == (
        200,
        {"object": "reload", "changed": False, "version": "one"},
    )
    server.now = "two"
    status, told = server.reload()
    assert status == 200 and told["changed"] and told["version"] == "two"
    assert server.names() == ["two"]
    assert settled(server) == [True, False]


def test_no_request_is_lost_and_none_is_answered_by_a_closed_engine(serve):
    server = serve(seconds=0.05)
    stop, statuses = threading.Event(), []

    def ask():
        while not stop.is_set():
            statuses.append(server.post(RANK, {"history": [], "k": 2})[0])

    with ThreadPoolExecutor(6) as pool:
        for _ in range(6):
            pool.submit(ask)
        for version in ("two", "three", "four"):
            time.sleep(0.2)
            server.now = version
            assert server.reload()[0] == 200
        stop.set()
    assert len(statuses) > 30 and set(statuses) == {200}
    assert settled(server) == [True, True, True, False]
    assert not any(engine.answered_closed for engine in server.opened)
    assert server.metric('recommender_requests_total{route="/v1/recommendations"') == len(statuses)


def test_a_version_that_cannot_be_opened_changes_nothing(serve):
    server = serve()
    server.now = "broken"
    status, told = server.reload()
    assert status == 503 and "the old one goes on" in told["error"]["message"]
    assert server.names() == ["one"] and not server.opened[0].closed
    assert server.post(RANK, {"history": [], "k": 2})[0] == 200


def test_only_one_version_is_loaded_at_a_time(serve):
    server = serve()
    began, go = threading.Event(), threading.Event()

    def slowly(before):
        began.set()
        go.wait(20)
        return server.open()

    server.versions._open_next = slowly
    server.now = "two"
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(server.reload)
        began.wait(20)
        assert server.reload()[0] == 409
        assert server.post(RANK, {"history": [], "k": 2})[0] == 200  # the old one answers meanwhile
        go.set()
        assert first.result()[0] == 200


def test_it_looks_by_itself_if_told_to(serve):
    server = serve(look_seconds=0.05)
    server.now = "broken"
    time.sleep(0.3)
    server.now = "two"
    deadline = time.monotonic() + 20
    while server.names() != ["two"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.names() == ["two"]


def test_a_signal_reloads(embedded):
    opened = []

    def version(before=None):
        opened.append(Named(embedded))
        return Version(opened[-1], create_app(opened[-1], "tiny", ServingConfig()), f"version {len(opened)}")

    versions = Versions(version(), version, lambda: "another")
    server = uvicorn.Server(server_config(versions, ServingConfig(port=0), log_level="error"))

    async def run():
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGHUP)
        for _ in range(500):
            if len(opened) == 2 and versions.current.engine is opened[1]:
                break
            await asyncio.sleep(0.02)
        server.should_exit = True
        await serving

    asyncio.run(run())
    assert versions.current.engine is opened[1] and opened[0].closed


def test_the_state_of_a_checkpoint_is_that_of_its_manifest(tmp_path):
    (tmp_path / "checkpoint.json").write_text("{}")
    one = manifest_digest(str(tmp_path))
    (tmp_path / "checkpoint.json").write_text('{"a": 1}')
    assert len(one) == 64 and manifest_digest(str(tmp_path)) != one


def test_an_agents_session_outlives_the_version_that_it_began_with(serve):
    server = serve(seconds=0.5)

    async def agent():
        async with Client(f"{server.url}/mcp") as client:
            first = await client.call_tool("recommend", {"history": ["103"], "k": 2})
            under_way = asyncio.create_task(client.call_tool("recommend", {"history": ["103"], "k": 2}))
            await asyncio.sleep(0.2)
            server.now = "two"
            status, _ = await asyncio.to_thread(server.reload)
            assert status == 200
            closed = await asyncio.to_thread(settled, server)
            answers = [first, await under_way]
            for version in ("three", "four"):
                server.now = version
                await asyncio.to_thread(server.reload)
                answers.append(await client.call_tool("recommend", {"history": ["103"], "k": 2}))
            return closed, answers, (await client.list_tools()).tools

    closed, answers, tools = asyncio.run(agent())
    assert closed == [True, False] and tools
    assert not any(answer.is_error for answer in answers)
    assert len({json.dumps(answer.structured_content["items"]) for answer in answers}) == 1
    assert not any(engine.answered_closed for engine in server.opened)


def test_a_version_that_has_ended_is_not_kept_in_memory(serve, monkeypatch):
    monkeypatch.setattr(versions_module, "_forget_ended", FORGET_ENDED)
    server = serve()
    asyncio.run(first_call(server))
    gone = weakref.ref(server.opened[0])
    server.now = "two"
    assert server.reload()[0] == 200 and settled(server) == [True, False]
    server.opened.pop(0)
    until(lambda: gone() is None)
    assert server.names() == ["two"]


async def first_call(server):
    async with Client(f"{server.url}/mcp") as client:
        assert not (await client.call_tool("recommend", {"history": ["103"], "k": 2})).is_error


def test_no_stream_of_an_agent_holds_a_version(serve):
    """Nothing is told to agents unasked, so a stream for it would only keep what has ended in memory."""
    server = serve()
    status, headers, _ = server.get("/mcp", Accept="text/event-stream")
    assert status == 405 and headers["allow"] == "POST"
    listening = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": {"notifications": {}}}
    accepted = {"Accept": "application/json, text/event-stream", "Mcp-Method": "subscriptions/listen"}
    assert server.post("/mcp", listening, **accepted)[0] == 405
    server.now = "two"
    assert server.reload()[0] == 200 and settled(server) == [True, False]
