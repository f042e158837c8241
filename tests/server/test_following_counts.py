"""Counts that rank along take events as they come, and equal counts of all that is known."""

from __future__ import annotations

import time

import numpy as np
import pytest

from recommender.config import Config, ServingConfig
from recommender.engine import Recommender
from recommender.pipelines import train
from recommender.pipelines.fuse import fuse_checkpoint
from recommender.pipelines.recounting import recounted
from recommender.server.app import create_app
from recommender.server.following_counts import FollowingCounts, start_following
from recommender.store.events import Event
from tests.conftest import tiny_recipe, write_tables
from tests.server.http_server import Server


@pytest.fixture(scope="module")
def fused(tmp_path_factory, catalogue, histories, llm_folder, text_folder):
    folder = tmp_path_factory.mktemp("fused")
    cache = tmp_path_factory.getbasetemp() / "encodings"
    training = {"stages": [{"stage": "rank", "epochs": 1, "row_tokens": 64, "batch_tokens": 256}]}
    raw = tiny_recipe(write_tables(folder, catalogue, histories), llm_folder, text_folder, cache, training, history=8)
    train.train(Config.parse(raw), folder / "model")
    fuse_checkpoint(str(folder / "model"), ["popularity", "sequential-item-knn"], folder / "model")
    return folder / "model"


def taken(catalogue, item, users, start=0):
    return [
        Event(id=f"e{start}-{n}", user=f"new{n}", item=catalogue[item].item_id, kind="like", time=5000.0 + n)
        for n in range(users)
    ]


def popularity(engine):
    return engine.fusion.baselines["popularity"].scores([np.array([0])])[0]


def test_events_are_counted_once_with_all_from_before(fused, store, catalogue):
    engine = Recommender.from_pretrained(fused)
    assert engine.setup.until is not None
    following = FollowingCounts(engine, store)
    store.events.add(taken(catalogue, 11, 40))
    assert following.follow_once() == 40 and following.follow_once() == 0
    known = [np.array(items) for items in following._known.values()]
    everything = train.load_histories(engine.config, engine.catalogue)
    assert sum(map(len, known)) == sum(map(len, everything.items)) + 40
    expected = recounted(engine.fusion, engine.catalogue, engine.features, [*everything.items, *known[-40:]], 0)
    for name, baseline in engine.fusion.baselines.items():
        theirs = expected.baselines[name].scores([np.array([3])])
        np.testing.assert_allclose(baseline.scores([np.array([3])]), theirs, rtol=1e-5)
    assert popularity(engine).argmax() == 11


def test_what_the_model_was_trained_on_is_not_counted_twice(fused, store, catalogue, histories):
    engine = Recommender.from_pretrained(fused)
    until = engine.setup.until
    store.events.add([Event(id="old", user="u1", item=catalogue[2].item_id, kind="like", time=until)])
    store.events.add([Event(id="hidden", user="u1", item=catalogue[2].item_id, kind="hide", time=until + 1)])
    following = FollowingCounts(engine, store, until)
    assert following.follow_once() == 0
    store.events.add([Event(id="new", user="u1", item=catalogue[4].item_id, kind="like", time=until + 1)])
    assert following.follow_once() == 1
    assert following._known["u1"][-1] == 4  # the pseudonym is known as a user of the table


def test_those_against_training_are_not_counted(fused, store, catalogue):
    engine = Recommender.from_pretrained(fused)
    store.consents.set("new0", {"train": False})
    store.events.add(taken(catalogue, 11, 2))
    assert FollowingCounts(engine, store).follow_once() == 1


def test_a_running_server_counts_what_was_taken(fused, store, catalogue, monkeypatch):
    engine = Recommender.from_pretrained(fused)
    limits = ServingConfig(counts_seconds=0.1)
    monkeypatch.setattr(
        "tests.server.http_server.create_app", lambda *_: create_app(engine, "tiny", limits, store, True)
    )
    before = popularity(engine)[11]
    server = Server(engine)
    try:
        events = [event.model_dump(mode="json", exclude_none=True) for event in taken(catalogue, 11, 30)]
        assert server.post("/v1/events", {"events": events})[0] == 200
        deadline = time.monotonic() + 20
        while popularity(engine)[11] == before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert popularity(engine)[11] > before
    finally:
        server.close()


def test_without_histories_or_fusion_counts_stay(fused, store, tmp_path, caplog):
    engine = Recommender.from_pretrained(fused)
    assert start_following(engine, None, 1.0, None) is None
    assert start_following(engine, store, None, None) is None
    engine.setup.config = engine.config.updated({"data.interactions": str(tmp_path / "gone.csv")})
    assert start_following(engine, store, 1.0, None) is None and "counts do not follow" in caplog.text
    engine.setup.fusion = None
    assert start_following(engine, store, 1.0, None) is None
