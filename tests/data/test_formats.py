"""CSV and JSONL: columns, and the lines on which rows start."""

from __future__ import annotations

import csv
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.config import TableConfig
from recommender.data.formats import one_line, read_csv, read_jsonl
from recommender.errors import DataError

cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\ufeff"), max_size=6)


def columns(parsed):
    return {name: c if isinstance(c, list) else c.to_pylist() for name, c in parsed.columns.items()}


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=6))
def test_fields_survive_as_the_texts_they_are(tmp_path, rows):
    path = tmp_path / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([("a", "b"), *rows])
    parsed = read_csv(path)
    assert list(zip(*columns(parsed).values(), strict=True)) == rows
    assert (parsed.rows, parsed.problems) == (len(rows), ())


def test_rows_know_the_line_on_which_they_start(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('id,text\n1,"two\nlines"\n\n2,x\n3,"three\n\nlines"\n4,y\n')
    assert list(read_csv(path).lines()) == [2, 5, 6, 9]


def test_rows_of_another_width_are_left_out_and_reported(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,text\n1,a\n2\n3,b,c\n4,d\n")
    parsed = read_csv(path)
    assert columns(parsed) == {"id": ["1", "4"], "text": ["a", "d"]}
    assert [(p.line, p.kind, p.reason) for p in parsed.problems] == [
        (3, "bad-row", "1 fields where the header has 2"),
        (4, "bad-row", "3 fields where the header has 2"),
    ]
    assert list(parsed.lines()) == [2, 5]


def test_bytes_that_are_no_utf8_are_replaced_and_reported(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"id,text\n1,caf\xe9\n2,\xc3\xa9t\xc3\xa9 \xc3\xa0\n")
    parsed = read_csv(path)
    assert columns(parsed)["text"] == ["caf\ufffd", "été à"]
    assert [(p.line, p.kind, p.reason) for p in parsed.problems] == [(2, "not-utf8", "not UTF-8 (byte 0xe9)")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"a,a\n1,2\n", "column 'a' stands twice"),
        (b'a,b\n1,"x\n2,y\n', "after line 1: a quoted field is broken or never closed"),
        (b"\xe9,\xc3\xa9\xc3\xa8\xc3\xa0\n1,2\n", "column names are not UTF-8"),
        (b"1\t2\n3\t4\n", "the first line is no header"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read_csv(path)
    assert error.value.message.startswith(f"{path}: ")


def test_json_lines_become_columns_with_gaps(tmp_path):
    path = tmp_path / "t.jsonl"
    rows = ['{"a": 1, "b": [1]}', "", "[1]", "{", '{"c": null, "a": "x"}']
    path.write_text("\n".join(rows))
    parsed = read_jsonl(path)
    assert columns(parsed) == {"a": [1, "x"], "b": [[1], None], "c": [None, None]}
    assert list(parsed.lines()) == [1, 5]
    assert [(p.line, p.kind) for p in parsed.problems] == [(3, "bad-json"), (4, "bad-json")]
    assert parsed.problems[0].reason == "expected a JSON object, found list"


def test_json_nested_too_deep_is_reported(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"a": 1}) + "\n" + '{"a":' + "[" * 100_000 + "]" * 100_000 + "}\n")
    parsed = read_jsonl(path)
    assert (parsed.rows, [problem.reason for problem in parsed.problems]) == (1, ["not valid JSON (nested too deep)"])


def test_messages_of_libraries_are_cut_to_one_line():
    assert one_line(ValueError("a\n  b")) == "a b" and len(one_line(ValueError("x" * 999))) == 200


def test_a_key_that_stands_twice_in_an_object_is_refused(tmp_path):
    (tmp_path / "t.jsonl").write_text(
        '{"item_id": 1, "item_id": 2}\n{"item_id": 3, "a": {"b": 1, "b": 2}}\n{"item_id": 4}\n'
    )
    parsed = read_jsonl(tmp_path / "t.jsonl")
    assert parsed.rows == 1 and [problem.line for problem in parsed.problems] == [1, 2]
    assert "the key 'item_id' stands twice" in parsed.problems[0].reason
    (tmp_path / "t.json").write_text('[{"item_id": 1, "item_id": 2}]')
    with pytest.raises(DataError, match="the key 'item_id' stands twice"):
        read_jsonl(tmp_path / "t.json")


def test_a_line_of_python_with_a_key_twice_is_reported(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text("{'id': 'a', 'tags': ['x']}\n{'id': 'b', 'id': 'c'}\n")
    parsed = read_jsonl(path)
    assert parsed.columns["id"] == ["a"]
    assert [(problem.line, "'id' stands twice" in problem.reason) for problem in parsed.problems] == [(2, True)]


def test_letters_that_get_lost_are_told_with_the_table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("item_id,title\n1,Café crème\n".encode("mac_roman"))
    assert "2 of its bytes are no letters in it" in read_csv(path).note
    told = read_csv(path, TableConfig(encoding="mac_roman"))
    assert told.columns["title"].to_pylist() == ["Café crème"] and "no letters" not in told.note
