from __future__ import annotations

import json
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from recommender.benchmarks.decode import DecodeSettings, bench_decode
from recommender.benchmarks.measuring import measured
from recommender.benchmarks.trie import FAN_OUT, clustered_codes
from recommender.cli import app
from recommender.errors import DataError
from recommender.trie import Trie


@pytest.mark.parametrize("items", [1, 1000, 20000])
def test_codes_are_unique_and_a_prefix_goes_on_with_few(items):
    codes = clustered_codes(items)
    assert len(np.unique(codes, axis=0)) == items
    assert max(Trie.from_codes(codes, (4096,) * 4).fan_outs[1:]) <= FAN_OUT


def test_the_trie_is_measured_at_each_size():
    result = CliRunner().invoke(app, ["bench", "trie", "--sizes", "100,1000", "--rounds", "1", "--quiet", "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert [row["items"] for row in report["rows"]] == [100, 1000]
    assert all(row["build s"] > 0 and row["step ms"] > 0 and row["MB"] > 0 for row in report["rows"])
    assert report["settings"]["seed"] == 0 and report["settings"]["threads"] >= 1


@pytest.mark.assets
def test_every_method_ranks_the_same_prompts_as_brute_force_does():
    settings = DecodeSettings(
        layers=2, items=40, dtype="float32", lengths=(48,), beams=(40,), prompts=(2,), rounds=1, budget=0, checked=2
    )
    rows = {row["method"]: row for row in bench_decode(settings)}
    for method in ("ours", "ours, instruction cached", "transformers, vectorised", "brute force"):
        assert rows[method]["top 10"] == 1, method
    assert rows["ours"]["of ours"] == 1 and rows["floor: bare passes"]["top 10"] is None
    assert all(row["seconds"] > 0 and row["rounds"] == 1 for row in rows.values())


def test_a_method_over_its_budget_is_measured_once_and_sleep_is_no_work():
    timings = measured({"slow": lambda: time.sleep(0.05), "quick": lambda: None}, rounds=4, budget=0.04)
    assert (len(timings["slow"].seconds), len(timings["quick"].seconds)) == (1, 4)
    assert timings["slow"].median >= 0.05 > timings["slow"].busy
    assert timings["quick"].median < 0.05


def test_numbers_that_are_none_are_named():
    result = CliRunner().invoke(app, ["bench", "trie", "--sizes", "10,many"])
    assert isinstance(result.exception, DataError) and "--sizes '10,many'" in result.exception.message
