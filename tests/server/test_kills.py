"""A server that is killed at any moment has kept each event that it acknowledged, once."""

from __future__ import annotations

import http.client
import itertools
import json
import random

import pytest

from recommender.store.master_keys import new_master_key
from recommender.store.store import Store
from tests.server.killed_servers import forked_server, kill_at_some_moment

WRITERS = 3


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


@pytest.mark.parametrize("kills", [4, pytest.param(100, marks=pytest.mark.slow)])
def test_what_was_acknowledged_is_kept_once(embedded, tmp_path, kills):
    where, master = tmp_path / "store.db", tmp_path / "master"
    new_master_key(master, "a")
    writers = [Writer(number, embedded.catalogue.item_ids[:12]) for number in range(WRITERS)]
    for kill in range(kills):
        kill_at_some_moment(kill, lambda: forked_server(embedded, where, master), [writer.write for writer in writers])
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
