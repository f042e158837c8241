"""Rows become items: values keep their text, and what is odd is said with its row."""

from __future__ import annotations

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from recommender.config import ColumnsConfig, DataConfig
from recommender.data.catalogue import Catalogue
from recommender.data.item_rows import LONG_TEXT, LONG_TITLE, attribute_values, read_items
from recommender.data.tables import read_table, say_once


def read(source):
    return read_items(read_table(source, "items"), ColumnsConfig())


def warned(read_items_):
    return [
        (problem.kind, problem.row) for problem in read_items_.problems if problem.kind not in ("no-text", "no-title")
    ]


TITLES = ["÷", "!!!", "None", "nan", "null", "N/A", "NaN", "<NA>", "NaT", "-", "?", "True", "007", "1e3", "1995", "NA"]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "binary", "frame"])
def test_titles_are_kept_as_they_are_in_every_form(tmp_path, form):
    frame = pd.DataFrame({"item_id": range(len(TITLES)), "title": TITLES})
    path = tmp_path / f"items.{'parquet' if form == 'binary' else form}"
    if form == "csv":
        frame.to_csv(path, index=False)
    elif form == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif form == "parquet":
        frame.to_parquet(path)
    elif form == "binary":
        titles = pa.array([title.encode() for title in TITLES], pa.binary())
        pa.parquet.write_table(pa.table({"item_id": pa.array(frame["item_id"]), "title": titles}), path)
    catalogue = Catalogue.load(frame if form == "frame" else path)
    assert [item.title for item in catalogue] == TITLES


def test_other_types_are_titles_too():
    titles = [1984, 2.0, 12.5, True, pd.Timestamp("2012-01-01"), b"Heat", None, float("nan"), pd.NaT, ""]
    items = read(pd.DataFrame({"item_id": range(10), "title": titles})).items
    assert [item.title for item in items[:6]] == ["1984", "2", "12.5", "True", "2012-01-01", "Heat"]
    assert [item.title for item in items[6:]] == [f"item {n}" for n in range(6, 10)]


def test_bytes_that_are_no_text_are_reported_in_titles_and_attributes():
    found = read(pd.DataFrame({"item_id": [b"1", b"2"], "title": [b"Heat", b"caf\xe9"], "genres": [b"\xff", b"Drama"]}))
    assert [item.item_id for item in found.items] == ["1", "2"]
    errors = [(p.row, p.field, p.kind) for p in found.problems if p.severity == "error"]
    assert errors == [(1, "genres", "not-utf8"), (2, "title", "not-utf8")]
    assert [item.attributes for item in found.items] == [{}, {"genres": ("Drama",)}]


@pytest.mark.parametrize("form", ["csv", "parquet", "frame"])
def test_an_index_without_a_name_is_left_out_with_a_note(tmp_path, caplog, form):
    say_once.cache_clear()
    frame = pd.DataFrame({"item_id": [1, 2], "title": ["a", "b"]}, index=[5, 6])
    if form == "csv":
        frame.to_csv(tmp_path / "i.csv")
    elif form == "parquet":
        pa.parquet.write_table(pa.Table.from_pandas(frame, preserve_index=True), tmp_path / "i.parquet")
    else:
        frame = frame.assign(**{"Unnamed: 0": [0, 1]})
    catalogue = Catalogue.load(frame if form == "frame" else tmp_path / f"i.{form}")
    assert all(item.attributes == {} for item in catalogue)
    assert len(caplog.messages) == 1 and "has no name and is left out" in caplog.messages[0]


def test_odd_texts_are_warned_of():
    titles = [
        "A" * 3000,
        "Heat",
        "HEAT",
        "<|im_start|>system",
        "[INST] x",
        "Bell\x07s",
        "Ame\u0301lie",
        "Am\u00e9lie",
        "Fine",
    ]
    texts = ["x " * 25_000, *["y"] * 8]
    found = read(pd.DataFrame({"item_id": range(9), "title": titles, "description": texts}))
    assert warned(found) == [
        ("long-title", 1),
        ("long-text", 1),
        ("equal-title", 3),
        ("chat-markup", 4),
        ("chat-markup", 5),
        ("control-characters", 6),
        ("equal-title", 8),
    ]
    assert not any(problem.severity == "error" for problem in found.problems)
    reasons = {problem.kind: problem.reason for problem in found.problems}
    assert reasons["long-title"].startswith("3,000 characters") and LONG_TITLE < 3000 and LONG_TEXT < 49_999
    assert reasons["chat-markup"].startswith("holds '[INST]'")


NAMES = ["Face/Off", "M*A*S*H", "<Untitled>", "I <3 you", "#1", "S|S", "x" * 200, "÷", "👩\u200d🚀", "\U0001fae8"]


@pytest.mark.parametrize("title", NAMES)
def test_names_that_are_only_unusual_are_not(title):
    found = read(pd.DataFrame({"item_id": [1], "title": [title], "description": ["y"]}))
    assert (found.items[0].title, warned(found)) == (title, [])


def test_values_that_stand_for_nothing_are_no_attributes_but_signs_are():
    assert attribute_values("artist", ["!!!", "÷", "N/A", "nan", "-", "...", ""]) == ("!!!", "÷")
    assert attribute_values("cast", ["Robert Downey, Jr."]) == ("Robert Downey, Jr.",)


def test_years_with_gaps_have_no_fraction(tmp_path):
    (tmp_path / "i.csv").write_text("item_id,year,version,score\n1,1995.0,1.0,8.0\n2,,1.10,\n3,2001.0,2.0,7.5\n")
    assert [item.attributes for item in read(tmp_path / "i.csv").items] == [
        {"year": ("1995",), "version": ("1.0",), "score": ("8",)},
        {"version": ("1.10",)},
        {"year": ("2001",), "version": ("2.0",), "score": ("7.5",)},
    ]


def test_pictures_in_a_binary_column_are_kept_as_files(tmp_path, monkeypatch):
    monkeypatch.setenv("RECOMMENDER_CACHE", str(tmp_path))
    found = read(pd.DataFrame({"item_id": [1, 2], "image": [b"picture", None]}))
    assert found.items[0].image.read_bytes() == b"picture" and found.items[1].image is None


def test_dropped_items_are_listed_and_absent_pictures_only_left_out(tmp_path, caplog):
    say_once.cache_clear()
    rows = [
        {"item_id": 1, "title": "a", "image": "none.png"},
        {"item_id": 1.0, "title": "again"},
        {"title": "lost"},
        {"item_id": True},
    ]
    (tmp_path / "i.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "[broken\n")
    catalogue = Catalogue.load(tmp_path / "i.jsonl", DataConfig(on_error="drop"))
    assert (catalogue.item_ids, catalogue[0].image) == (("1",), None)
    listed = [json.loads(line) for line in (tmp_path / "i.jsonl.dropped.jsonl").read_text().splitlines()]
    assert [(entry["line"], entry["kind"]) for entry in listed] == [
        (2, "duplicate-id"),
        (3, "empty-id"),
        (4, "bad-id"),
        (5, "bad-json"),
    ]
    assert listed[0]["values"] == {"item_id": "1", "title": "again", "image": None}
    counted = "left out 4 of 5 rows (1 duplicate-id, 1 empty-id, 1 bad-id, 1 bad-json)"
    assert any(counted in line for line in caplog.messages)


def test_titles_that_may_stand_for_nothing_are_kept_and_warned_of():
    found = read(pd.DataFrame({"item_id": [1, 2, 3], "title": ["N/A", "-", "!!!"], "description": ["x"] * 3}))
    assert warned(found) == [("odd-title", 1), ("odd-title", 2)]


def test_floats_in_a_text_table_are_what_the_frame_said_from_which_it_was_written(tmp_path):
    frame = pd.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"], "year": [1995.0, 1990.0], "price": [5.0, 4.5]})
    frame["views"] = [1e16, 3.0]
    frame.to_csv(tmp_path / "items.csv", index=False)
    frame.to_parquet(tmp_path / "items.parquet")
    expected = {"year": ("1995",), "price": ("5",), "views": ("10000000000000000",)}
    for source in (frame, tmp_path / "items.csv", tmp_path / "items.parquet"):
        assert Catalogue.load(source)[0].attributes == expected


def test_texts_that_no_float_is_written_as_stay(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title,version,price,grade\n1,A,1.10,19.90,2\n2,B,1.0,5.0,1.0\n")
    assert [item.attributes["version"] for item in Catalogue.load(tmp_path / "items.csv")] == [("1.10",), ("1.0",)]
    assert Catalogue.load(tmp_path / "items.csv")[1].attributes["grade"] == ("1.0",)


@pytest.mark.parametrize(
    "title",
    [
        *(
            "<|im_start|>",
            "<|endoftext|> <|im_end|>",
            "[INST][/INST]",
            "<s>",
            "</s>",
            "<<SYS>>",
            "\x00\x01",
            "\x7f",
            "\u200b",
        ),
        *(
            "\u00ad",
            "\u200d",
            "\u200e",
            "\u2800",
            "\u3164",
            "\ufe0f",
            "\u0301",
            "\ue000\ue001",
            "\ufffd",
            "&nbsp;",
            "<b></b>",
        ),
    ],
)
def test_a_title_of_which_nothing_is_left_is_the_id_and_warned_of(title):
    read = read_items(read_table(pd.DataFrame({"item_id": [7], "title": [title]}), "items"), ColumnsConfig())
    assert [item.title for item in read.items] == ["item 7"]
    assert "blank-title" in {problem.kind for problem in read.problems}


@pytest.mark.parametrize("title", ["÷", "!!!", "None", "☺️", "<S>", "नी", "<|im_start|> Alien", "\U0001fae9"])
def test_a_title_of_which_anything_is_left_is_kept(title):
    read = read_items(read_table(pd.DataFrame({"item_id": [7], "title": [title]}), "items"), ColumnsConfig())
    assert [item.title for item in read.items] == [title]
