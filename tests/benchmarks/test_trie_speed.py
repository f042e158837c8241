"""The trie at growing sizes: codes of a fixed fan-out, and a row for each size."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from recommender.benchmarks.trie_speed import FAN_OUT, LEVELS, SIZE, bench_trie, clustered_codes
from recommender.cli import app
from recommender.constraints import Trie
from recommender.errors import DataError


@pytest.mark.parametrize("items", [1, 1000, 20000])
def test_codes_are_unique_and_a_prefix_goes_on_with_few(items):
    codes = clustered_codes(items)
    assert len(np.unique(codes, axis=0)) == items
    assert max(Trie.from_codes(codes, (4096,) * 4).fan_outs[1:]) <= FAN_OUT


def test_codes_lie_within_their_level_and_depend_on_the_seed():
    codes = clustered_codes(5000, seed=1)
    assert codes.shape == (5000, LEVELS) and codes.dtype == np.int32
    assert codes.min() >= 0 and codes.max() < SIZE
    np.testing.assert_array_equal(codes, clustered_codes(5000, seed=1))
    assert not np.array_equal(codes, clustered_codes(5000, seed=2))


def test_more_items_than_codes_are_refused():
    with pytest.raises(ValueError, match="there are codes for"):
        clustered_codes(SIZE * FAN_OUT ** (LEVELS - 1) + 1)


def test_a_row_tells_what_its_size_costs():
    steps = []
    first, second = bench_trie([50, 400], rounds=1, progress=lambda *step: steps.append(step))
    assert first["of the first"] == 1 and second["of the first"] > 0
    assert second["MB"] > first["MB"] > 0 and second["edit ms"] > 0
    assert steps == [("building tries", 0, 2), ("building tries", 1, 2)]


def test_the_trie_is_measured_at_each_size():
    result = CliRunner().invoke(app, ["bench", "trie", "--sizes", "100,1000", "--rounds", "1", "--quiet", "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert [row["items"] for row in report["rows"]] == [100, 1000]
    assert all(row["build s"] > 0 and row["step ms"] > 0 and row["MB"] > 0 for row in report["rows"])
    assert report["settings"]["seed"] == 0 and report["settings"]["threads"] >= 1


def test_numbers_that_are_none_are_named():
    result = CliRunner().invoke(app, ["bench", "trie", "--sizes", "10,many"])
    assert isinstance(result.exception, DataError) and "--sizes '10,many'" in result.exception.message
