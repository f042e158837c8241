"""Request files and partial outputs: nothing is written twice, nothing of another batch is taken over."""

import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recommender.batch import request_files
from recommender.batch.request_files import PartialOutput, batch_identity, read_requests
from recommender.errors import DataError
from tests.batch.batch_files import read_lines, requests, write_lines


def test_blank_lines_are_skipped_and_lines_keep_their_numbers(tmp_path):
    path = write_lines(tmp_path / "in.jsonl", ["", {"custom_id": "a"}, "   ", {"custom_id": "b"}])
    assert [(line.number, line.custom_id) for line in read_requests(path)] == [(2, "a"), (4, "b")]


def test_the_second_line_of_an_id_is_an_error_and_lines_without_one_are_not_each_others(tmp_path):
    lines = [{"custom_id": "a"}, {"custom_id": "a"}, {"custom_id": "a", "url": "/", "body": {}}, {}, {}]
    first, *others = read_requests(write_lines(tmp_path / "in.jsonl", lines))
    assert first.request is not None
    assert all("earlier line" in line.error for line in others[:2]) and others[1].wrapped
    assert all("no custom_id" in line.error for line in others[2:])


def test_damaged_text_spoils_its_line_only(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"custom_id": "a\xff"}\n\xfe\n{"custom_id": "b"}')
    lines = list(read_requests(path))
    assert [line.custom_id for line in lines] == [None, None, "b"]
    assert all("no UTF-8" in line.error for line in lines[:2])


def test_latin_1_ids_are_not_taken_for_each_other(tmp_path):
    path = tmp_path / "in.jsonl"
    rows = ['{"custom_id": "é", "history": ["1"]}', '{"custom_id": "è", "history": ["1"]}', '{"custom_id": "e"}']
    path.write_bytes("\n".join(rows).encode("latin-1"))
    errors = [line.error for line in read_requests(path)]
    assert [error and error.split(";")[0] for error in errors] == [
        "line 1 holds bytes that are no UTF-8",
        "line 2 holds bytes that are no UTF-8",
        None,
    ]
    path.write_text("\n".join(rows), encoding="utf-8")
    assert [line.custom_id for line in read_requests(path)] == ["é", "è", "e"]


def test_a_table_is_read_as_lines_are(tmp_path, monkeypatch):
    monkeypatch.setattr(request_files, "_TABLE_ROWS", 2)
    rows = [*requests(5), {"custom_id": "last"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    lines = list(read_requests(tmp_path / "in.parquet"))
    assert [line.number for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line.request for line in lines[:5]] == [
        line.request for line in read_requests(write_lines(tmp_path / "in.jsonl", requests(5)))
    ]
    assert lines[5].error is None and lines[5].request.k == 10  # what a row leaves empty is not given


def test_rows_of_a_table_have_the_keys_of_their_own_mappings_only(tmp_path):
    rows = [
        {"custom_id": "a", "history": ["1"], "boosts": {"1": 2.0}, "filters": {"genres": ["comedy"]}},
        {"custom_id": "b", "history": ["1"], "boosts": {"2": 3.0}, "filters": {"year": ["1990"]}},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    first, second = (line.request for line in read_requests(tmp_path / "in.parquet"))
    assert first.boosts == {"1": 2.0} and first.filters == {"genres": ("comedy",)}
    assert second.boosts == {"2": 3.0} and second.filters == {"year": ("1990",)}


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("in.csv", b"", "neither .jsonl nor .parquet"),
        ("none.jsonl", None, "no such file"),
        ("in.parquet", b"PAR1 not", "not a parquet file"),
    ],
)
def test_files_that_cannot_be_read_are_one_clear_error(tmp_path, name, content, match):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=match):
        list(read_requests(tmp_path / name))


def test_a_partial_output_is_resumed_behind_its_last_whole_line(tmp_path):
    output = tmp_path / "out.jsonl"
    partial = PartialOutput(output, "this batch")
    assert partial.lines_done == 0
    partial.write([{"custom_id": "a"}, {"custom_id": "ü"}])
    partial.close()
    with partial.path.open("a") as file:
        file.write('{"custom_id": "cut')
    resumed = PartialOutput(output, "this batch")
    assert resumed.lines_done == 2
    resumed.write([{"custom_id": "c"}])
    resumed.finish()
    assert [line["custom_id"] for line in read_lines(output)] == ["a", "ü", "c"]
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_lines_are_on_disk_before_the_batch_goes_on(tmp_path):
    partial = PartialOutput(tmp_path / "out.jsonl", "this batch")
    partial.write([{"custom_id": "a"}])
    assert read_lines(partial.path) == [{"custom_id": "a"}]  # with the file still open
    partial.close()


def test_another_batch_is_not_resumed(tmp_path):
    PartialOutput(tmp_path / "out.jsonl", "one").close()
    with pytest.raises(DataError, match="another input"):
        PartialOutput(tmp_path / "out.jsonl", "another")
    (tmp_path / ".out.jsonl.partial").unlink()
    PartialOutput(tmp_path / "out.jsonl", "another").close()


def test_an_output_needs_a_folder_and_no_file_of_its_name(tmp_path):
    (tmp_path / "there.jsonl").touch()
    for path, match in (
        (tmp_path / "there.jsonl", "already"),
        (tmp_path / "no" / "out.jsonl", "no such folder"),
        (tmp_path / "out.txt", "neither"),
    ):
        with pytest.raises(DataError, match=match):
            PartialOutput(path, "")
    assert os.listdir(tmp_path) == ["there.jsonl"]


def test_a_table_holds_nested_values_as_json(tmp_path, monkeypatch):
    monkeypatch.setattr(request_files, "_TABLE_ROWS", 2)
    partial = PartialOutput(tmp_path / "out.parquet", "")
    lines = [{"custom_id": str(n), "items": [{"rank": n, "title": "Ü"}], "generated": True} for n in range(3)]
    partial.write([*lines, {"custom_id": None, "error": {"code": "x"}}])
    partial.finish()
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["custom_id"] for row in rows] == ["0", "1", "2", None]
    assert [row["generated"] for row in rows] == [True, True, True, None]
    assert [json.loads(row["items"]) for row in rows[:3]] == [line["items"] for line in lines]
    assert rows[3]["items"] is None and json.loads(rows[3]["error"]) == {"code": "x"}
    assert os.listdir(tmp_path) == ["out.parquet"]


def test_the_identity_hangs_on_the_content_and_the_settings(tmp_path):
    one, same, other = (write_lines(tmp_path / f"{n}.jsonl", [{"a": n // 2}]) for n in range(3))
    assert batch_identity(one, "m") == batch_identity(same, "m")
    assert len({batch_identity(one, "m"), batch_identity(other, "m"), batch_identity(one, "n")}) == 3


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_read_in_every_unicode(tmp_path, encoding):
    path = tmp_path / "in.jsonl"
    path.write_text('{"custom_id": "ü", "history": ["1"]}\r\n{"custom_id": "b"}\r\n', encoding=encoding)
    first, second = read_requests(path)
    assert (first.custom_id, first.error, first.request.history) == ("ü", None, ("1",)) and second.custom_id == "b"


def test_a_parquet_file_that_is_cut_in_its_middle_is_one_line(tmp_path):
    path = tmp_path / "in.parquet"
    pq.write_table(pa.Table.from_pylist(requests(500)), path)
    whole = bytearray(path.read_bytes())
    whole[60 : len(whole) // 2] = bytes(len(whole) // 2 - 60)
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"in\.parquet: not a readable parquet file") as error:
        list(read_requests(path))
    assert "\n" not in error.value.message


def test_what_stands_twice_in_a_table_is_refused(tmp_path):
    history = pa.array([["1"], ["2"]])
    twice = pa.Table.from_arrays([pa.array(["a", "b"]), history, history], names=["custom_id", "history", "history"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(DataError, match="column 'history' stands twice"):
        list(read_requests(tmp_path / "twice.parquet"))
    boosts = pa.array([[("1", 1.0), ("1", 2.0)], [("1", 1.0)]], pa.map_(pa.string(), pa.float64()))
    pq.write_table(pa.table({"custom_id": ["a", "b"], "boosts": boosts}), tmp_path / "map.parquet")
    first, second = read_requests(tmp_path / "map.parquet")
    assert first.custom_id == "a" and "a key stands twice" in first.error and second.request.boosts == {"1": 1.0}


@pytest.mark.parametrize("fields", ['"k": true', '"boosts": {"1": true}'])
def test_a_truth_value_is_no_number(fields, tmp_path):
    (tmp_path / "in.jsonl").write_text(f'{{"custom_id": "a", {fields}}}\n')
    (line,) = read_requests(tmp_path / "in.jsonl")
    assert line.request is None and "truth value" in line.error


def test_a_partial_file_of_two_names_is_appended_to_under_one(tmp_path):
    first = PartialOutput(tmp_path / "a.jsonl", "{}")
    first.write([{"custom_id": "1"}])
    first.close()
    for name in (".b.jsonl.partial", ".b.jsonl.identity"):
        os.link(tmp_path / name.replace(".b.", ".a."), tmp_path / name)
    second = PartialOutput(tmp_path / "b.jsonl", "{}")
    second.write([{"custom_id": "2"}])
    second.close()
    assert (tmp_path / ".a.jsonl.partial").read_text().count("\n") == 1
    assert (tmp_path / ".b.jsonl.partial").read_text().count("\n") == 2
