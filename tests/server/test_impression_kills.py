"""A server that is killed at any moment has written down each list that it answered, once and as it was answered."""

from __future__ import annotations

import http.client
import itertools
import json
from collections import Counter

import pytest

from recommender.store.master_keys import new_master_key
from recommender.store.store import Store
from tests.server.killed_servers import forked_server, kill_at_some_moment

ASKERS = 3
EXPLORATION = {"from_rank": 2, "temperature": 2.0, "pool": 8}
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


class Asker:
    """One person who asks for lists, plain, streamed, in conversations and by an agent, one after the other."""

    def __init__(self, number):
        self.user, self.answered, self.unanswered, self.failed = f"u{number}", {}, 0, None
        self.ways = itertools.cycle((self.listed, self.streamed, self.said, self.by_agent))

    def ask(self, port):
        """Ask until the server is gone; a question without an answer is not asked again."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            for way in self.ways:
                self.unanswered += 1
                request_id, items = way(connection)
                self.unanswered -= 1
                assert request_id not in self.answered and len(items) == 3
                self.answered[request_id] = items
        except (OSError, http.client.HTTPException):
            connection.close()
        except Exception as error:  # of a thread nobody would hear
            self.failed = error

    def listed(self, connection):
        told = post(connection, "/v1/recommendations", {"user": self.user, "k": 3})
        return told["request_id"], ids(told["items"])

    def streamed(self, connection):
        send(connection, "/v1/recommendations", {"user": self.user, "k": 3, "stream": True, "explain": False})
        text = checked(connection.getresponse())
        first = next(line for line in text.splitlines() if line.startswith("data: "))
        told = json.loads(first.removeprefix("data: "))
        return told["request_id"], ids(told["items"])

    def said(self, connection):
        messages = [{"role": "user", "content": "a comedy"}]
        told = post(
            connection,
            "/v1/chat/completions",
            {"messages": messages, "user": self.user, "k": 3, "explain": False},
        )
        return told["id"], ids(told["recommendations"])

    def by_agent(self, connection):
        params = {"name": "recommend", "arguments": {"k": 3, "user": self.user}}
        told = post(connection, "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        told = told["result"]["structuredContent"]
        return told["request_id"], ids(told["items"])


def ids(items):
    return [item["item_id"] for item in items]


def send(connection, path, body):
    connection.request("POST", path, json.dumps(body), HEADERS)


def checked(response):
    text = response.read().decode()
    assert response.status == 200, text
    return text


def post(connection, path, body):
    send(connection, path, body)
    return json.loads(checked(connection.getresponse()))


@pytest.mark.parametrize("kills", [4, pytest.param(100, marks=pytest.mark.slow)])
def test_what_was_answered_is_written_down_once(embedded, tmp_path, kills):
    where, master = tmp_path / "store.db", tmp_path / "master"
    new_master_key(master, "a")
    askers = [Asker(number) for number in range(ASKERS)]
    for kill in range(kills):
        kill_at_some_moment(
            kill,
            lambda: forked_server(embedded, where, master, exploration=EXPLORATION),
            [asker.ask for asker in askers],
        )
        check(askers, where, master)
    assert sum(len(asker.answered) for asker in askers) > 2 * kills
    store = Store.open(where, master)
    modes = {shown.mode for asker in askers for shown in store.impressions.of(asker.user)}
    assert modes == {"explore", "chat", "agent"}
    store.let_go()


def check(askers, where, master):
    store = Store.open(where, master)
    for asker in askers:
        assert asker.failed is None, asker.failed
        kept = store.impressions.of(asker.user)
        by_id = {shown.request_id: shown for shown in kept}
        assert max(Counter(shown.request_id for shown in kept).values(), default=1) == 1, "none twice"
        assert by_id.keys() >= asker.answered.keys(), "none without"
        for request_id, items in asker.answered.items():
            shown = by_id[request_id]
            assert list(shown.items) == items and len(shown.probabilities) == len(items)
            assert shown.probabilities[0] == 1 and 0 < min(shown.probabilities) < 1
        # one that was killed on its way to the answer may be written down: at most one for each question without an answer
        assert len(kept) - len(asker.answered) <= asker.unanswered
    assert store.audit.verify().ok
    store.let_go()
