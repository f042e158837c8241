"""What a server does for its store by the clock."""

from __future__ import annotations

import time

import pytest
from starlette.testclient import TestClient

from recommender.config import ServingConfig
from recommender.engine import Recommender
from recommender.errors import DataError
from recommender.server import housekeeping
from recommender.server.app import create_app
from recommender.store.events import Event
from recommender.store.master_keys import new_master_key
from recommender.store.store import Store, StoreOptions


@pytest.fixture
def store(tmp_path):
    new_master_key(tmp_path / "master", "a")
    opened = Store.open(tmp_path / "store.db", tmp_path / "master", StoreOptions(event_days=1))
    yield opened
    opened.engine.dispose()


def until(true, seconds=10.0):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()


def test_a_running_server_signs_and_sweeps_and_outlives_a_store_that_is_away(make_checkpoint, store, monkeypatch):
    monkeypatch.setattr(housekeeping, "LOOK", 0.01)
    monkeypatch.setattr(housekeeping, "SWEEP", 0.0)
    sweep, failures = store.sweep, [DataError("away"), DataError("away")]

    def failing():
        if failures:
            raise failures.pop()
        return sweep()

    monkeypatch.setattr(store, "sweep", failing)
    store.events.add([Event(id="1", user="ann", item="101", kind="like", time=100.0)])
    store.audit.add("list", {"n": 1})
    app = create_app(Recommender(make_checkpoint()), "tiny", ServingConfig(allowed_hosts=("testserver",)), store)
    with TestClient(app) as client:
        assert client.get("/healthz").status_code == 200
        assert until(lambda: store.events.count() == 0 and store.audit.verify().signed >= 1)
    assert not failures and store.audit.verify().ok
