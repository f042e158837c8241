"""The load test over HTTP: what it counts, and that it measures a real server beside `transformers`."""

import json

import pytest

from recommender.benchmarks.server_load import LoadSettings, LoadTally, bench_serve, is_wrong, load, one_at_a_time
from recommender.data.catalogue import Catalogue
from recommender.model.checkpoint import save_pretrained
from tests.conftest import write_tables
from tests.server.http_server import Server, Slow


@pytest.fixture(scope="module")
def embedded(engines):
    return engines(1).embedded


def test_every_answer_is_counted_and_checked(embedded):
    server = Server(embedded)
    settings = LoadSettings(clients=4, seconds=1.5, plain_seconds=0.3, k=3, longest=6)
    try:
        tally = load(server.url, [item.item_id for item in embedded.catalogue], settings)
    finally:
        server.close()
    row = tally.row("served", settings.seconds)
    assert row["answered"] > 4 and row["errors"] == row["lost"] == row["wrong lists"] == 0
    assert 0 < row["p50 ms"] <= row["p95 ms"] <= row["p99 ms"]
    plain, seconds = one_at_a_time(embedded_checkpoint(embedded), 5, settings)
    assert plain.answered and seconds >= 0.3
    json.dumps(row)


def embedded_checkpoint(engine):
    from recommender.model.checkpoint import Checkpoint

    return Checkpoint(engine.model, engine.tokenizer, engine.catalogue, engine.config)


def test_overload_and_a_server_that_is_gone_are_told_apart(embedded):
    items = [item.item_id for item in embedded.catalogue]
    server = Server(Slow(embedded, 0.3), waiting=1)
    settings = LoadSettings(clients=20, seconds=0.8, k=3, longest=6)
    try:
        tally = load(server.url, items, settings)
    finally:
        server.close()
    assert tally.refused and tally.answered and not tally.errors and not tally.lost
    gone = load(server.url, items, LoadSettings(clients=1, seconds=0.2, k=3, longest=6))
    assert gone.lost and not gone.answered


def test_a_server_that_answers_nothing_is_a_row_and_no_traceback(
    make_checkpoint, catalogue, histories, config, tmp_path
):
    tables = write_tables(tmp_path, catalogue, histories)
    checkpoint = make_checkpoint(settings=config.updated({"data.items": tables["items"]}))
    checkpoint.catalogue = Catalogue.load(tables["items"])
    save_pretrained(checkpoint, tmp_path / "model")
    settings = LoadSettings(url="http://127.0.0.1:1", clients=1, seconds=0.2, plain_seconds=0, k=3, longest=6)
    (row,) = bench_serve(str(tmp_path / "model"), settings)
    assert row["lost"] and not row["answered"] and row["times generate"] is None


def test_what_makes_a_list_wrong():
    known = {"1", "2", "3"}
    assert not is_wrong(["1", "2"], ["3"], known, 2)
    for found in (["1"], ["1", "1"], ["1", "3"], ["1", "9"]):
        assert is_wrong(found, ["3"], known, 2)
    assert LoadTally().row("nothing", 1.0)["answered"] == 0
