"""The audit log measured: a row for each step, of a log that is whole."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from recommender.benchmarks.audit_speed import list_row
from recommender.cli import app


def test_each_step_is_measured():
    result = CliRunner().invoke(app, ["bench", "audit", "--rows", "12050", "--added", "20", "--json", "-q"])
    rows = json.loads(result.stdout)["rows"]
    assert [(row["step"], row["rows"]) for row in rows] == [("add", 20), ("sign", 12050), ("verify", 12050)]
    assert all(row["seconds"] > 0 and row["mean ms"] > 0 for row in rows) and rows[0]["median ms"] > 0


def test_more_rows_one_by_one_than_there_are_is_refused():
    result = CliRunner().invoke(app, ["bench", "audit", "--rows", "10", "--added", "10"])
    assert result.exit_code and "expected fewer than --rows 10" in str(result.exception)


def test_a_row_tells_of_as_many_items_as_the_list_has():
    assert len(list_row(7)["verdicts"]) == 7
