"""What reports share: bytes that can be read back, files that replace older ones together, pages that stand alone."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest
from rich.console import Console

from recommender.errors import DataError
from recommender.eval import report_parts
from recommender.eval.report_parts import (
    json_bytes,
    parquet_bytes,
    terminal_table,
    versions,
    write_files,
)


def test_versions_name_python_and_what_is_not_installed(monkeypatch):
    assert {"python", "recommender", "numpy", "scipy", "pandas"} == set(versions())
    monkeypatch.setattr(report_parts, "_PACKAGES", ("numpy", "nothing-of-this-name"))
    assert versions()["nothing-of-this-name"] == "not installed"


def test_tables_are_read_back_without_an_index():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=[7, 9])
    back = pd.read_parquet(io.BytesIO(parquet_bytes(frame)))
    pd.testing.assert_frame_equal(back, frame.reset_index(drop=True))


def test_json_ends_with_a_line_and_knows_no_nan():
    assert json_bytes({"a": "é"}).endswith(b"\n") and b"\\u00e9" in json_bytes("é")
    assert "é".encode() in json_bytes("é", ensure_ascii=False)
    assert json.loads(json_bytes([1, None])) == [1, None]
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_bytes(float("nan"))


def test_files_replace_older_ones_and_leave_others(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "mine").write_text("mine")
    assert write_files(str(tmp_path), {"a": b"new", "b": b"too"}) == tmp_path
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "new", "b": "too", "mine": "mine"}


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="the report cannot be written") as caught:
        write_files(tmp_path / "file" / "report", {"a": b""})
    assert caught.value.hint == "give a folder you may write to"


def test_long_names_are_folded_and_not_cut():
    table = terminal_table("title", "caption", "model", min_width=5)
    table.add_column("value")
    table.add_row("a-name-without-any-space-that-is-longer-than-the-terminal", "1")
    console = Console(width=30, file=io.StringIO())
    console.print(table)
    text = console.file.getvalue()
    assert "…" not in text and "title" in text and "caption" in text
    assert "a-name-without-any-space-that-is-longer-than-the-terminal" in "".join(
        line.split()[0] for line in text.splitlines()[3:] if line.strip() and "caption" not in line
    )
