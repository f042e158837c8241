"""Hostile, broken and slow clients: only their own requests fail, nobody waits for them, and nothing stays behind."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.server.fuzzing import bodies
from tests.server.http_server import CHAT, RANK, raw_post, running

GOOD = [{"history": ["103", "107"], "k": 4}, {"history": ["111"], "k": 3}, {"k": 5}, {"history": ["119"], "k": 2}]
SEED = 18


def sent(server, method, path, body, kind):
    """Send one request and return its status; None where the server closed what it does not read."""
    data = body if method in ("POST", "PUT", "PATCH") else None
    request = urllib.request.Request(server.url + path, data, {"Content-Type": kind}, method=method)
    try:
        return server.read(request)[0]
    except (urllib.error.URLError, ConnectionError, ValueError):
        return None


def items_of(text):
    return [(item["item_id"], round(item["score"], 3)) for item in json.loads(text)["items"]]


class Bystanders:
    """Clients that ask for lists and for the server's health all the while; what they get must be as without others."""

    def __init__(self, server, clients):
        self.server, self.ended = server, threading.Event()
        self.expected = [items_of(server.post(RANK, body)[2]) for body in GOOD]
        self.wrong, self.lost, self.answers, self.health = [], [], 0, []
        threads = [threading.Thread(target=self.ask, args=(number,)) for number in range(clients)]
        self.threads = [*threads, threading.Thread(target=self.look)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join(60)

    def ask(self, number):
        while not self.ended.is_set():
            body = GOOD[number % len(GOOD)]
            try:
                status, _, text = self.server.post(RANK, body)
            except OSError as error:
                self.lost.append(repr(error))
                continue
            if status != 200:
                self.lost.append((status, text))
            elif items_of(text) != self.expected[number % len(GOOD)]:
                self.wrong.append(text)
            self.answers += 1
            number += 1
            self.ended.wait(0.05)

    def look(self):
        while not self.ended.wait(0.1):
            began = time.monotonic()
            assert self.server.get("/healthz")[0] == 200
            self.health.append(time.monotonic() - began)

    def check(self, most_seconds):
        assert not self.lost and not self.wrong and self.answers
        self.health.sort()
        # these clients share one interpreter with the server, so a single slow answer may be their own
        assert self.health[int(0.95 * (len(self.health) - 1))] < most_seconds, self.health[-5:]


def fuzz(engine, count, caplog, feedback, most_seconds=0.1):
    with running(engine, feedback=str(feedback)) as server:
        for body in bodies(SEED + 1, 40):  # what is loaded with its first use is no leak
            sent(server, *body)
        before = psutil.Process().memory_info().rss
        with Bystanders(server, 2) as others, ThreadPoolExecutor(4) as pool:
            statuses = list(pool.map(lambda body: sent(server, *body), bodies(SEED, count)))
        grown = psutil.Process().memory_info().rss - before
        failed = [status for status in statuses if status is not None and status >= 500]
        assert not failed, f"{len(failed)} of {count}"
        assert {200, 400, 415} <= set(statuses)
        assert "Traceback" not in caplog.text and not [r for r in caplog.records if r.exc_info]
        others.check(most_seconds)
        assert grown < 2**30
        assert server.metric('recommender_requests_total{route="/v1/recommendations",status="500"}') == 0
        deadline = time.monotonic() + 30
        while server.metric("recommender_writing") or server.metric("recommender_waiting"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    engine.feedback_policy.store = None


def test_malformed_bodies_fail_alone(embedded, caplog, tmp_path):
    fuzz(embedded, 150, caplog, tmp_path / "feedback.jsonl", most_seconds=0.5)


@pytest.mark.slow
def test_thousands_of_malformed_bodies_fail_alone(engine, caplog, tmp_path):
    fuzz(engine, 2500 if engine.name == "embedded" else 400, caplog, tmp_path / "feedback.jsonl")


def hostile(server, ended):
    """Ask for as much as a body allows, leave, and begin again; in between, what breaks a group."""
    large = {"history": ["103", "107", "111"], "k": 1000, "explain": True}
    chat = {"messages": [{"role": "user", "content": "a comedy"}], "k": 50, "stream": True}
    infinite = {"history": ["103"], "vectors": {"103": {"image": [1e39] * 6}}, "k": 3}
    while not ended.is_set():
        for path, body in ((RANK, large), (CHAT, chat)):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(raw_post(path, body))
                ended.wait(0.2)
        assert server.post(RANK, infinite)[0] == 400


def slow(server, ended):
    """Begin requests and never end them; read answers a byte at a time."""
    held = []
    while not ended.is_set():
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(raw_post(RANK, GOOD[0])[: 20 + 30 * (len(held) % 8)])
        held.append(client)
        ended.wait(0.2)
    for client in held:
        client.close()


def beside_others(engine, seconds, clients, most_seconds):
    with running(engine, header_seconds=1, body_seconds=2) as server:
        with Bystanders(server, clients) as others:
            threads = [threading.Thread(target=work, args=(server, others.ended)) for work in (hostile, slow)]
            for thread in threads:
                thread.start()
            time.sleep(seconds)
            others.ended.set()
            for thread in threads:
                thread.join(30)
        others.check(most_seconds)
        deadline = time.monotonic() + 2
        while server.metric("recommender_writing"):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_one_slow_and_one_hostile_client_harm_nobody(embedded):
    beside_others(embedded, 3, 4, most_seconds=0.5)


@pytest.mark.slow
def test_one_slow_and_one_hostile_client_beside_sixteen_for_two_minutes(engine):
    beside_others(engine, 120, 16, most_seconds=0.1)


LARGE = [
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}] * 60_000}]}),
    (RANK, {"history": ["103"] * 150_000}),
    (RANK, {"filters": {str(number): ["x"] * 9_000 for number in range(20)}}),
]


def test_a_crowd_of_large_bodies_holds_nobody_up(embedded):
    with running(embedded) as server, Bystanders(server, 2) as others:
        crowd = [(server, path, body) for path, body in LARGE] * 6
        with ThreadPoolExecutor(16) as pool:
            statuses = list(pool.map(lambda each: each[0].post(*each[1:])[0], crowd))
        others.ended.set()
        assert set(statuses) == {400}
    others.check(0.5)


def test_headers_and_bodies_that_do_not_come_are_closed_and_counted(embedded):
    with running(embedded, header_seconds=0.3, body_seconds=0.3) as server:
        request = raw_post(RANK, GOOD[0])
        ends = [0, 10, request.index(b"\r\n\r\n") + 2, request.index(b"\r\n\r\n") + 6]
        held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
        for number, client in enumerate(held):
            client.sendall(request[: ends[number % len(ends)]])
            client.settimeout(5)
        answers = [client.recv(4000) for client in held]
        assert all(b"408" in answer for answer in answers[3::4]) and not any(answers[0::4])
        assert not any(client.recv(100) for client in held if client.fileno() < 0)
        assert server.metric('recommender_requests_total{route="/v1/recommendations",status="408"}') == 10
        assert server.metric('recommender_requests_total{route="other",status="408"}') == 30
        assert server.post(RANK, GOOD[0])[0] == 200


def test_a_trickle_does_not_keep_a_connection_open(embedded):
    with (
        running(embedded, header_seconds=0.5) as server,
        socket.create_connection(("127.0.0.1", server.port)) as client,
    ):
        began = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT011  (whichever end of a closed connection is noticed)
            while time.monotonic() - began < 5:
                client.sendall(b"G")
                time.sleep(0.05)
        assert time.monotonic() - began < 3


def test_too_many_connections_close_who_waits_longest_for_headers(embedded):
    with running(embedded, connections=10, header_seconds=30) as server:
        held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(30)]
        held[0].settimeout(5)
        assert held[0].recv(10) == b""  # the oldest has made room
        assert server.post(RANK, GOOD[0])[0] == 200
        for client in held:
            client.close()


def test_what_is_no_http_is_counted(embedded):
    with running(embedded) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"nonsense\r\n\r\n")
            assert b"400" in client.recv(1000)
        assert server.metric('recommender_requests_total{route="other",status="400"}') == 1
