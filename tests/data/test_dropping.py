"""Rows with errors are left out only where the config says so, and never without a trace."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from recommender.config import DataConfig, TableConfig
from recommender.data.catalogue import Catalogue, Item
from recommender.data.dropping import usable_rows
from recommender.data.histories import Histories
from recommender.data.tables import Table, say_once
from recommender.errors import DataError

CATALOGUE = Catalogue([Item("1", "A"), Item("2", "B")])
TEXT = "user_id,item_id,timestamp\nu,1,1\nu,9,2\nu,2\nu,2,soon\n,2,4\nu,2,5\n"


@pytest.fixture(autouse=True)
def anew():
    say_once.cache_clear()


def test_strict_by_default(tmp_path):
    (tmp_path / "t.csv").write_text(TEXT)
    with pytest.raises(DataError, match="t.csv, line 3: item_id: unknown item id '9' .and 3 more problems"):
        Histories.load(tmp_path / "t.csv", CATALOGUE)
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_dropped_rows_are_counted_by_reason_and_listed(tmp_path, caplog):
    (tmp_path / "t.csv").write_text(TEXT)
    histories = Histories.load(tmp_path / "t.csv", CATALOGUE, DataConfig(on_error="drop"))
    assert [items.tolist() for items in histories.items] == [[0, 1]]
    assert any(
        "left out 4 of 6 rows (1 unknown-item, 1 bad-row, 1 bad-time, 1 empty-id)" in line for line in caplog.messages
    )
    listed = [json.loads(line) for line in (tmp_path / "t.csv.dropped.jsonl").read_text().splitlines()]
    assert [(entry["line"], entry["field"], entry["kind"]) for entry in listed] == [
        (3, "item_id", "unknown-item"),
        (4, "", "bad-row"),
        (5, "timestamp", "bad-time"),
        (6, "user_id", "empty-id"),
    ]
    assert listed[2]["values"]["timestamp"] == "soon" and "values" not in listed[1]


def test_what_a_frame_loses_is_listed_in_the_cache(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("RECOMMENDER_CACHE", str(tmp_path))
    frame = pd.DataFrame({"user_id": ["u", "u"], "item_id": [1, 7], "position": [0, 1]})
    assert len(Histories.load(frame, CATALOGUE, DataConfig(on_error="drop")).items[0]) == 1
    (listed,) = (tmp_path / "dropped").iterdir()
    assert str(listed) in caplog.text and json.loads(listed.read_text())["row"] == 2


def test_errors_of_the_whole_table_stop_all_the_same_and_something_must_be_left(tmp_path):
    drop = DataConfig(on_error="drop")
    (tmp_path / "t.csv").write_text("user,item_id,timestamp\nu,1,1\n")
    with pytest.raises(DataError, match="no column 'user_id'"):
        Histories.load(tmp_path / "t.csv", CATALOGUE, drop)
    (tmp_path / "t.csv").write_text("user_id,item_id,timestamp\nu,9,1\n")
    with pytest.raises(DataError, match="no row of the interactions is left"):
        Histories.load(tmp_path / "t.csv", CATALOGUE, drop)


def test_warnings_drop_nothing():
    table = Table("t", {"a": [1, 2]}, 2)
    warning = table.problem(0, "a", "odd", "is odd", severity="warning")
    assert usable_rows(table, [warning], "drop", "items").all() and usable_rows(table, [warning], "stop", "items").all()


def test_a_bad_byte_on_a_later_line_of_a_field_drops_its_row(tmp_path, caplog):
    text = b'item_id,title,text\n1,A,fine\n2,B,"first\nsec\xffond"\n3,C,x,y\n4,D,"one\ntwo"\n5,"E\n\xff",x,y\n'
    (tmp_path / "items.csv").write_bytes(text)
    data = DataConfig(on_error="drop", items_table=TableConfig(encoding="utf-8"))
    catalogue = Catalogue.load(tmp_path / "items.csv", data)
    assert catalogue.item_ids == ("1", "4")
    assert any("left out 3 of 5 rows" in line for line in caplog.messages)
