"""/readyz tells whether a server can answer, and what it cannot keep; each fault is made by a real one."""

from __future__ import annotations

import fcntl
import json
import resource
import shutil
import threading

import pytest

from tests.server.http_server import FEEDBACK, RANK, WrappedEngine, running, until

OPINION = {"item_id": "103", "opinion": "not for me", "user": "ann"}


def readiness(server):
    status, _, text = server.get("/readyz")
    return status, json.loads(text)


@pytest.fixture
def kept(embedded, tmp_path):
    """A server that keeps feedback, and the file."""
    (tmp_path / "disk").mkdir()
    path = tmp_path / "disk" / "feedback.jsonl"
    with running(embedded, feedback=str(path)) as server:
        assert server.post(FEEDBACK, OPINION)[0] == 200 and readiness(server) == (200, {"status": "ok"})
        yield server, path
    embedded.feedback_policy.store = None


def answers(server):
    return server.post(RANK, {"history": ["103"], "k": 2})[0] == 200


def test_a_full_disk_is_told_and_lists_go_on(kept):
    server, path = kept
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, limits[1]))  # no file may grow
    try:
        told, status, goes_on = readiness(server), server.post(FEEDBACK, OPINION)[0], answers(server)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert told == (200, {"status": "degraded", "feedback": "storage_full"})
    assert status == 507 and goes_on
    assert readiness(server) == (200, {"status": "ok"})  # and when there is room again


def test_a_file_that_somebody_holds_and_a_folder_that_is_gone_are_told(kept):
    server, path = kept
    with path.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert readiness(server) == (200, {"status": "degraded", "feedback": "storage_unavailable"})
        assert answers(server)
    assert readiness(server) == (200, {"status": "ok"})
    shutil.rmtree(path.parent)
    assert readiness(server) == (200, {"status": "degraded", "feedback": "storage_unavailable"})
    path.parent.mkdir()
    assert readiness(server) == (200, {"status": "ok"}) and list(path.parent.iterdir()) == []


class Stuck(WrappedEngine):
    """Neither ranks nor writes on until it is told to."""

    def __init__(self, engine):
        super().__init__(engine)
        self.go_on = threading.Event()
        self.begun = threading.Event()

    def answer_many(self, requests):
        if requests[0].k == 3:
            self.begun.set()
            self.go_on.wait(30)
        return self.engine.answer_many(requests)

    def stream_justifications(self, request, items, stop=None, together=False):
        self.begun.set()
        self.go_on.wait(30)
        return iter(items)


@pytest.mark.parametrize(("body", "work"), [({"k": 3}, "ranked"), ({"k": 2, "explain": True}, "written")])
def test_an_engine_that_brings_nothing_forth_is_not_ready(embedded, body, work):
    stuck = Stuck(embedded)
    with running(stuck, stuck_seconds=0.5) as server:
        asking = threading.Thread(target=server.post, args=(RANK, body))
        asking.start()
        try:
            assert stuck.begun.wait(20) and readiness(server)[0] == 200  # busy is not stuck
            until(lambda: readiness(server)[0] == 503)
            error = readiness(server)[1]["error"]
            assert error["code"] == "engine_stuck" and f"nothing has been {work} for" in error["message"]
            assert server.get("/healthz")[0] == 200
        finally:
            stuck.go_on.set()
            asking.join(30)
        until(lambda: readiness(server)[0] == 200)  # who asked is answered a moment before the work counts as done
        assert answers(server)
