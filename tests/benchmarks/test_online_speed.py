"""How soon a server knows what people do, measured on a real one."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from recommender.benchmarks.online_speed import _check_kept
from recommender.cli import app
from recommender.errors import RecommenderError
from recommender.store.master_keys import new_master_key
from recommender.store.store import Store

ASKED = ("--clients", "2", "--seconds", "1", "--pause", "0.1")
QUICK = (*ASKED, "--writers", "2", "--write-seconds", "0.3", "--batches", "1,10")


@pytest.mark.slow
def test_each_way_of_an_event_is_measured(tmp_path):
    page = tmp_path / "page.html"
    command = ["bench", "online", "--tiny", *QUICK, "--counted", "2", "--json", "-q", "--page", str(page)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    rows = json.loads(result.stdout)["rows"]
    assert [row["measured"].partition(",")[0] for row in rows] == [
        "event to next list",
        "event to next list",
        "events in batches of 1",
        "events in batches of 10",
        "event to fused counts",
    ]
    assert all(row["stale lists"] == 0 and row["count"] > 1 for row in rows[:2]) and rows[-1]["count"] == 2
    assert all(0 < row["median ms"] <= row["95th ms"] for row in rows)
    assert rows[3]["a second"] > 0 and rows[3]["count"] % 10 == 0
    assert "event to next list" in page.read_text()


def test_an_event_that_is_lost_is_told(tmp_path):
    new_master_key(tmp_path / "keys", "bench")
    Store.open(tmp_path / "store.db", tmp_path / "keys").let_go()
    with pytest.raises(RecommenderError, match="3 events were acknowledged, and 0 are kept"):
        _check_kept(tmp_path, 3)
