from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from recommender.benchmarks.trie import FAN_OUT, clustered_codes
from recommender.cli import app
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
