"""Helpers: the application on a real socket, engines that can be held up, and what to read from answers."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import uvicorn

from recommender.config import ServingConfig
from recommender.server.app import create_app
from recommender.server.uvicorn_server import server_config
from tests.copies import begin_command

RANK, CHAT, FEEDBACK = "/v1/recommendations", "/v1/chat/completions", "/v1/feedback"


class Server:
    """The application on a free port of this machine, in a thread."""

    def __init__(self, engine, store=None, local=True, **limits):
        # as `reserved` does: else each answer on a kept connection waits 40 ms for an acknowledgement
        self.socket = socket.socket(proto=socket.IPPROTO_TCP)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        settings = ServingConfig(**{"drain_seconds": 5} | limits)
        self.app = create_app(engine, "tiny", settings, store, local)
        self.server = uvicorn.Server(server_config(self.app, settings, log_level="error"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def post(self, path, body, content_type="application/json", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.read(urllib.request.Request(self.url + path, data, {"Content-Type": content_type} | headers))

    def get(self, path, **headers):
        return self.read(urllib.request.Request(self.url + path, headers=headers))

    def read(self, request):
        try:
            with urllib.request.urlopen(request, timeout=300) as response:
                return response.status, response.headers, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()

    def metric(self, line_start):
        """Return the value of the first metric whose line begins so; 0 if there is none."""
        lines = [line for line in self.get("/metrics")[2].splitlines() if line.startswith(line_start)]
        return float(lines[0].rsplit(" ", 1)[1]) if lines else 0.0

    def close(self):
        self.server.should_exit = True
        self.thread.join(timeout=20)


@contextmanager
def running(engine, **limits):
    """Serve an engine within a `with` block."""
    server = Server(engine, **limits)
    try:
        yield server
    finally:
        server.close()


class WrappedEngine:
    """An engine, but for what subclasses change."""

    def __init__(self, engine):
        self.engine, self.group_sizes = engine, []

    def __getattr__(self, name):
        return getattr(self.engine, name)


class Slow(WrappedEngine):
    """Every group takes its time, and writing ends only when it is stopped."""

    def __init__(self, engine, seconds):
        super().__init__(engine)
        self.seconds, self.writing, self.stopped = seconds, threading.Event(), threading.Event()

    def answer_many(self, requests):
        time.sleep(self.seconds)
        self.group_sizes.append(len(requests))
        return self.engine.answer_many(requests)

    def stream_justifications(self, request, items, stop=None, together=False):
        self.writing.set()
        if stop.wait(30):
            self.stopped.set()
        return iter(())


class Held(WrappedEngine):
    """Every group begins only when it is given a place."""

    def __init__(self, engine):
        super().__init__(engine)
        self.places = threading.Semaphore(0)

    def answer_many(self, requests):
        self.group_sizes.append(len(requests))
        self.places.acquire()
        return self.engine.answer_many(requests)


def until(is_so):
    """Wait for something that will come, a minute at most."""
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def events(text):
    """Return the (name, data) pairs of a whole event stream."""
    pairs = []
    for block in text.strip().split("\n\n"):
        if block.startswith(":"):  # a sign of life of a busy server
            continue
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        pairs.append((lines.get("event"), json.loads(lines["data"]) if lines["data"] != "[DONE]" else "[DONE]"))
    return pairs


def raw_post(path, body):
    """Return the bytes of a POST request, for a socket."""
    data = json.dumps(body).encode()
    head = "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return (head % (path, len(data))).encode() + data


def check_that_it_drains(*arguments: str, stream: bool = False) -> None:
    """Start `recommender serve` with these arguments and end it while it answers: the whole answer comes, then it ends."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = begin_command("serve", *arguments, "--port", port)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{url}/healthz", timeout=5)
                break
            except OSError:
                assert process.is_alive()
                time.sleep(0.1)
        data = json.dumps({"k": 8, "history": ["103"], "explain": True, "stream": stream}).encode()
        asked = urllib.request.Request(f"{url}{RANK}", data, {"Content-Type": "application/json"})
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(lambda: urllib.request.urlopen(asked, timeout=60).read())
            time.sleep(0.3)
            process.terminate()
            if stream:
                names = [name for name, _ in events(answer.result().decode())]
                assert names == ["items", *["justification"] * 8, "done"]
            else:
                assert len(json.loads(answer.result())["items"]) == 8
        process.join(20)
        assert process.exitcode in (0, -signal.SIGTERM)
    finally:
        process.kill()
