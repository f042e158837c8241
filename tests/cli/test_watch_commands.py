"""`recommender watch`: values, a page, and an exit code when a limit is passed."""

from __future__ import annotations

import json
import time

import pytest
from typer.testing import CliRunner

from recommender.cli.command_line import app
from recommender.cli.watch_commands import span
from recommender.data.histories import Histories
from recommender.errors import ConfigError
from recommender.model.checkpoint import save_pretrained
from recommender.model.trained_on import TrainedOn
from recommender.store.impressions import Impression
from recommender.store.master_keys import new_master_key
from recommender.store.store import Store


@pytest.fixture
def watch(tmp_path):
    new_master_key(tmp_path / "keys", "a")
    store, now = Store.open(tmp_path / "store.db", tmp_path / "keys"), time.time()
    for number, (item, hours) in enumerate((("<a>", 30), ("<a>", 40), ("b", 1))):
        shown = Impression(request_id=f"r{number}", items=(item,), probabilities=(1.0,), time=now - hours * 3600)
        store.impressions.add("ann", shown)
    store.let_go()

    def run(*options):
        where = ["--store", str(tmp_path / "store.db"), "--master-key", str(tmp_path / "keys")]
        return CliRunner().invoke(app, ["watch", *where, "--json", *options])

    return run


def test_the_last_day_is_told_and_written(watch, tmp_path):
    result = watch("--output", str(tmp_path / "page.html"), "--fail-above", "impressions=1")
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert values["impressions"] == 1 and values["listed_drift"] > 1 and values["coverage"] is None
    page = (tmp_path / "page.html").read_text()
    assert "no limit is passed" in page and "Items listed most" in page and "<a>" not in page


@pytest.mark.parametrize("limit", [("--fail-above", "listed_drift=0.25"), ("--fail-below", "impressions=2")])
def test_a_limit_that_is_passed_is_the_exit_code(watch, tmp_path, limit):
    result = watch(*limit, "--output", str(tmp_path / "page.html"))
    assert result.exit_code == 3 and limit[1].partition("=")[0] in (tmp_path / "page.html").read_text()
    assert watch("--last", "3d", limit[0], "coverage=0").exit_code == 0  # what is not known passes none


def test_what_is_wrong_is_said(watch):
    assert "listed_drift" in str(watch("--fail-above", "listed_drif=1").exception)
    assert "is no number" in str(watch("--fail-above", "listed_drift=high").exception)
    with pytest.raises(ConfigError, match="--last is 'yesterday'"):
        span("yesterday")
    assert (span("24h"), span("30m"), span("1.5d")) == (86400, 1800, 129600)


def test_a_model_is_compared_with_what_it_learned_from(watch, make_checkpoint, histories, catalogue, tmp_path):
    checkpoint = make_checkpoint()
    known = Histories(tuple(map(str, range(len(histories)))), tuple(histories))
    checkpoint.trained_on = TrainedOn.of(known, histories, catalogue)
    save_pretrained(checkpoint, tmp_path / "model")
    result = watch("--model", str(tmp_path / "model"), "--fail-above", "listed_drift_from_training=0.25")
    values = json.loads(result.stdout)
    assert result.exit_code == 3 and values["listed_drift_from_training"] > 5, "b is no item of the model"
    assert values["taken_drift_from_training"] is None
    checkpoint.trained_on = None
    save_pretrained(checkpoint, tmp_path / "older")
    told = watch("--model", str(tmp_path / "older"), "--fail-above", "listed_drift_from_training=0.25")
    assert told.exit_code == 0 and json.loads(told.stdout)["listed_drift_from_training"] is None
