"""What is well formed and still too much; what the machine has not enough of; pages and health."""

from __future__ import annotations

import errno
import json
import re
import threading
import time

import pytest

from recommender.engine.vllm import VllmError
from recommender.errors import RecommenderError
from tests.server.http_server import CHAT, FEEDBACK, RANK, WrappedEngine, running


def test_ids_that_no_catalogue_has_are_refused_before_near_ones_are_looked_for(embedded_server):
    long = "x" * 500_000
    for field, value in (
        ("history", [long]),
        ("exclude", ["103", long]),
        ("only", [long]),
        ("boosts", {long: 1}),
        ("filters", {"genres": long}),
        ("filters", {long: "a"}),
    ):
        began = time.monotonic()
        status, _, text = embedded_server.post(RANK, {field: value, "k": 2})
        assert status == 400 and json.loads(text)["error"]["param"] == field
        assert len(text) < 3000 and time.monotonic() - began < 2


def test_an_error_does_not_send_back_what_was_sent(embedded_server):
    _, _, text = embedded_server.post(RANK, {"user": "x" * 100_000, "k" * 100_000: 1, "model": "y" * 100_000})
    assert len(text) < 3000


def test_a_list_is_justified_up_to_a_number_and_says_so(embedded):
    with running(embedded, explained=3) as server:
        answer = json.loads(server.post(RANK, {"history": ["103"], "k": 5, "explain": True})[2])
        assert [bool(item["justification"]) for item in answer["items"]] == [True] * 3 + [False] * 2
        assert "only the first 3 items are justified" in answer["notes"]
        body = {"history": ["103"], "k": 5, "explain": True, "stream": True}
        text = server.post(RANK, body)[2]
        assert text.count("event: justification") == 3 and "only the first 3" in text


def test_a_chat_has_few_pictures_and_sounds(embedded_server):
    part = {"type": "input_audio", "input_audio": {"data": "AAAA"}}
    status, _, text = embedded_server.post(CHAT, {"messages": [{"role": "user", "content": [part] * 17}]})
    assert status == 400 and "16" in json.loads(text)["error"]["message"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 507, "storage_full"),
        (OSError(errno.EDQUOT, "Quota exceeded"), 507, "storage_full"),
        (OSError(errno.EMFILE, "Too many open files"), 503, "out_of_resources"),
        (MemoryError(), 503, "out_of_resources"),
        (VllmError("vLLM answered 500"), 503, "engine_failed"),
    ],
)
def test_what_is_missing_is_said_and_when_to_come_again(embedded, error, status, code, caplog):
    class Failing(WrappedEngine):
        def answer_many(self, requests):
            raise error

        def stream_justifications(self, request, items, stop=None, together=False):
            raise error
            yield

    with running(Failing(embedded)) as server:
        answered, headers, text = server.post(RANK, {"k": 2})
        assert answered == status and headers["Retry-After"] and json.loads(text)["error"]["code"] == code
        assert server.metric(f'recommender_requests_total{{route="/v1/recommendations",status="{status}"}}') == 1
    assert "Traceback" not in caplog.text and not [record for record in caplog.records if record.exc_info]


def test_a_full_disk_is_a_507_of_feedback(embedded, tmp_path, monkeypatch):
    def append(line):
        with open("/dev/full", "ab", buffering=0) as file:
            file.write(line)

    try:
        with running(embedded, feedback=str(tmp_path / "feedback.jsonl")) as server:
            monkeypatch.setattr(embedded.feedback_policy.store, "_append", append)
            body = {"item_id": "103", "opinion": "not for me", "user": "ann"}
            status, headers, text = server.post(FEEDBACK, body)
            assert status == 507 and headers["Retry-After"] and json.loads(text)["error"]["code"] == "storage_full"
    finally:
        embedded.feedback_policy.store = None


def test_a_stream_that_fails_is_counted_and_says_so(embedded):
    class Failing(WrappedEngine):
        def stream_justifications(self, request, items, stop=None, together=False):
            yield items[0]
            raise ZeroDivisionError("secret")

    with running(Failing(embedded)) as server:
        text = server.post(RANK, {"k": 2, "explain": True, "stream": True})[2]
        assert "internal_error" in text and "secret" not in text
        assert server.metric('recommender_failed_streams_total{code="internal_error"}') == 1


def test_only_who_breaks_a_group_has_its_error(embedded):
    class Breaking(WrappedEngine):
        def answer_many(self, requests):
            if any(request.query == "break" for request in requests):
                raise RecommenderError("the model computed NaN scores")
            return self.engine.answer_many(requests)

    with running(Breaking(embedded), gather_ms=200) as server:
        statuses, bodies = {}, [{"k": 2}, {"k": 2, "query": "break"}, {"k": 3}]

        def ask(number):
            statuses[number] = server.post(RANK, bodies[number])[0]

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert statuses == {0: 200, 1: 400, 2: 200}


def test_health_waits_for_nobody(embedded):
    class Hanging(WrappedEngine):
        def __init__(self, engine):
            super().__init__(engine)
            self.go_on = threading.Event()

        def is_alive(self):
            return self.go_on.wait(30)

        def stream_justifications(self, request, items, stop=None, together=False):
            self.go_on.wait(30)
            return iter(items)

    hanging = Hanging(embedded)
    with running(hanging, writing=8) as server:
        try:
            asked = [
                threading.Thread(target=server.post, args=(RANK, {"k": 2, "explain": True, "trace": True}))
                for _ in range(8)
            ] + [threading.Thread(target=server.get, args=("/readyz",)) for _ in range(8)]
            for thread in asked:
                thread.start()
            time.sleep(0.3)
            began = time.monotonic()
            assert server.get("/healthz")[0] == 200
            assert time.monotonic() - began < 0.1
        finally:
            hanging.go_on.set()
        for thread in asked:
            thread.join(30)


def test_the_page_of_routes_loads_nothing_and_names_every_field(embedded_server):
    status, headers, text = embedded_server.get("/docs")
    assert status == 200 and headers["Content-Type"].startswith("text/html")
    assert not re.search(r"<script|src=|https?://|@import|url\(", text)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert all(f"<code>{name}</code>" in text for name in ("history", "boosts", "messages", "one_pass", "opinion"))
    assert embedded_server.get("/redoc")[0] == 404
