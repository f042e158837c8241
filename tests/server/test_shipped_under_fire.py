"""The shipped checkpoint, served by a process of its own, while a slow and a hostile client are beside sixteen good ones."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import psutil
import pytest

from tests.docs.served import served
from tests.server.http_server import CHAT, RANK, raw_post

pytestmark = [pytest.mark.assets, pytest.mark.slow]
SECONDS, CLIENTS = 120, 16
GOOD = [{"history": ["50", "181"], "k": 5}, {"history": ["100"], "k": 3}, {"k": 4}, {"history": ["1", "258"], "k": 2}]
LOOK = """
import json, sys, time, urllib.request
until, seconds = time.monotonic() + float(sys.argv[2]), []
while time.monotonic() < until:
    began = time.monotonic()
    with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/healthz", timeout=60) as answer:
        assert answer.status == 200
    seconds.append(time.monotonic() - began)
    time.sleep(0.05)
print(json.dumps(seconds))
"""
LARGE = {"history": ["50", "181", "258", "127", "174"], "k": 100, "explain": True}


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    options = "--allowed-host localhost"
    with served(f"recommender serve movielens-100k --port 0 {options}", tmp_path_factory.mktemp("served")) as number:
        yield number


def post(port, path, body):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def metric(port, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def lists(answer):
    return [item["item_id"] for item in answer["items"]]


def leave(port, path, body, after):
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(raw_post(path, body))
        time.sleep(after)


class Fire:
    """All clients at once. `lost`, `wrong`: answers of good clients; `health`: seconds that /healthz took."""

    def __init__(self, port):
        self.port, self.ended = port, threading.Event()
        self.lost, self.wrong, self.answers, self.health, self.seconds = [], [], 0, [], []
        self.expected = [lists(post(port, RANK, body)) for body in GOOD]

    def good(self, number):
        while not self.ended.wait(0.2):
            began = time.monotonic()
            try:
                answer = post(self.port, RANK, GOOD[number % len(GOOD)])
            except OSError as error:
                self.lost.append(repr(error))
                continue
            self.seconds.append(time.monotonic() - began)
            self.answers += 1
            if lists(answer) != self.expected[number % len(GOOD)]:
                self.wrong.append(answer)
            number += 1

    def look(self, seconds):
        """From a process of its own: the threads of this one would wait for each other."""
        run = subprocess.run([sys.executable, "-c", LOOK, str(self.port), str(seconds)], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        self.health = sorted(json.loads(run.stdout))

    def hostile(self):
        while not self.ended.is_set():
            leave(self.port, RANK, LARGE, 0.5)
            leave(self.port, CHAT, {"messages": [{"role": "user", "content": "a comedy"}], "stream": True}, 0.5)
            leave(self.port, RANK, LARGE | {"stream": True}, 0.5)

    def slow(self):
        held = []
        while not self.ended.wait(0.2):
            client = socket.create_connection(("127.0.0.1", self.port))
            client.sendall(raw_post(RANK, GOOD[0])[: 20 + 30 * (len(held) % 8)])
            held.append(client)
        for client in held:
            client.close()

    def run(self, seconds):
        work = [(self.good, number) for number in range(CLIENTS)] + [
            (self.look, seconds),
            (self.hostile,),
            (self.slow,),
        ]
        threads = [threading.Thread(target=target, args=arguments) for target, *arguments in work]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        self.ended.set()
        for thread in threads:
            thread.join(60)


def server_process(port):
    return next(c.pid for c in psutil.net_connections() if c.laddr and c.laddr.port == port and c.status == "LISTEN")


def test_nothing_is_lost_or_wrong_and_health_answers_at_once(port):
    fire = Fire(port)
    process = psutil.Process(server_process(port))
    post(port, RANK, LARGE | {"k": 2})  # what is loaded with its first use is no leak
    before = process.memory_info().rss
    fire.run(SECONDS)
    grown, worst = (process.memory_info().rss - before) / 2**20, fire.health[-1]
    fire.seconds.sort()
    median, tail = fire.seconds[len(fire.seconds) // 2], fire.seconds[int(0.95 * len(fire.seconds))]
    print(f"{fire.answers} lists, median {median:.2f} s, 95th {tail:.2f} s; {len(fire.health)} looks at /healthz,")
    print(
        f"95th {fire.health[int(0.95 * len(fire.health))]:.3f} s, slowest {worst:.3f} s; memory grew by {grown:.0f} MB"
    )
    assert not fire.lost and not fire.wrong and fire.answers
    assert worst < 0.1 and grown < 1024
    deadline = time.monotonic() + 2
    while metric(port, "recommender_writing"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("after", [0.1, 0.4, 1.0, 3.0])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        (RANK, LARGE),
        (RANK, LARGE | {"stream": True}),
        (CHAT, {"messages": [{"role": "user", "content": "a comedy from the 90s"}], "k": 50, "explain": True}),
    ],
)
def test_what_a_client_left_ends_within_a_second(port, path, body, after):
    leave(port, path, body, after)
    began = time.monotonic()
    process = psutil.Process(server_process(port))
    while metric(port, "recommender_writing") or metric(port, "recommender_waiting"):
        assert time.monotonic() - began < 1
        time.sleep(0.02)
    process.cpu_percent()
    time.sleep(0.5)
    assert process.cpu_percent() < 30  # nothing goes on behind the counters
