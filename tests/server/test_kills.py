"""A server that is killed at any moment has kept each event that it acknowledged, once."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import signal
import socket
import threading
import time

import pytest
import uvicorn

from recommender.config import ServingConfig
from recommender.server.app import create_app
from recommender.server.uvicorn_server import server_config
from recommender.store.master_keys import new_master_key
from recommender.store.store import Store
from tests.server.http_server import until

WRITERS, LONGEST = 3, 0.8


class Writer:
    """Sends one person's events one batch after the other; a batch without an answer is sent again."""

    def __init__(self, number, item_ids):
        self.user, self.numbers = f"u{number}", itertools.count()
        self.items, self.acknowledged, self.open = item_ids, {}, None
        self.random = random.Random(number)

    def batch(self):
        numbers = list(itertools.islice(self.numbers, self.random.randint(1, 20)))
        return {f"{self.user}-{n}": self.items[n % len(self.items)] for n in numbers}

    def write(self, port):
        """Write until the server is gone."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            while True:
                self.open = self.open or self.batch()
                sent = [{"id": i, "user": self.user, "item": item, "kind": "like"} for i, item in self.open.items()]
                assert post(connection, "/v1/events", {"events": sent})["outcome"].keys() == self.open.keys()
                self.acknowledged |= self.open
                newest, self.open = list(self.open.values())[-1], None
                listed = post(connection, "/v1/recommendations", {"user": self.user, "k": 3})["items"]
                assert newest not in [item["item_id"] for item in listed]
        except (OSError, http.client.HTTPException):
            connection.close()


def post(connection, path, body):
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read()
    assert response.status == 200, text
    return json.loads(text)


def forked_server(engine, where, master, **settings):
    """Serve from a process of its own; returns its number and its port."""
    listening = socket.create_server(("127.0.0.1", 0))
    process = os.fork()
    if not process:
        try:
            app = create_app(engine, "tiny", ServingConfig(**settings), Store.open(where, master))
            uvicorn.Server(server_config(app, ServingConfig(), log_level="critical")).run(sockets=[listening])
        finally:
            os._exit(1)
    port = listening.getsockname()[1]
    listening.close()
    return process, port


def alive(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/healthz")
    return connection.getresponse().status == 200


@pytest.mark.parametrize("kills", [4, pytest.param(100, marks=pytest.mark.slow)])
def test_what_was_acknowledged_is_kept_once(embedded, tmp_path, kills):
    where, master = tmp_path / "store.db", tmp_path / "master"
    new_master_key(master, "a")
    writers = [Writer(number, embedded.catalogue.item_ids[:12]) for number in range(WRITERS)]
    for kill in range(kills):
        process, port = forked_server(embedded, where, master)
        threads = [threading.Thread(target=writer.write, args=(port,)) for writer in writers]
        for thread in threads:
            thread.start()
        if kill % 5:  # the others are killed while they start
            until(lambda port=port: alive(port))
        time.sleep(random.Random(kill).uniform(0, LONGEST))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        for thread in threads:
            thread.join()
        check(writers, where, master)
    assert sum(len(writer.acknowledged) for writer in writers) > 2 * kills


def check(writers, where, master):
    store = Store.open(where, master)
    for writer in writers:
        kept = [(event.id, event.item) for event in store.events.of(writer.user)]
        sent = list((writer.acknowledged | (writer.open or {})).items())
        assert kept in (
            list(writer.acknowledged.items()),
            sent,
        )  # a batch without an answer is kept whole, or not at all
    assert store.audit.verify().ok
    store.let_go()
