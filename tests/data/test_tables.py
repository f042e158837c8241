"""Tables: ids as texts, numbers and dates, the place of a row, hints for columns."""

from __future__ import annotations

import gzip
import lzma
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from recommender.config import TableConfig
from recommender.data.cells import flat
from recommender.data.tables import Problem, Table, fail_on_errors, read_table, say_once
from recommender.errors import DataError

COLUMNS = {
    "list": [1, "1", None, 1.0, " 2"],
    "strings": pa.chunked_array([["1", "1"], [None, "1", "2"]]),
    "floats": pa.chunked_array([pa.array([1.0, 1.0, None, 1.0, 2.0])]),
    "dictionary": pa.chunked_array([pa.array(["1", "1", None, "1", "2"]).dictionary_encode()]),
}


@pytest.mark.parametrize("column", COLUMNS)
def test_equal_ids_share_a_code_whatever_the_type_of_the_column(column):
    codes, texts = Table("t", COLUMNS, 5).factorize(column)
    assert (codes.tolist(), texts) == ([0, 0, -1, 0, 1], ["1", "2"])
    numbers = Table("t", COLUMNS, 5).numbers(column)
    assert numbers[[0, 1, 3, 4]].tolist() == [1, 1, 1, 2] and math.isnan(numbers[2])


def test_an_absent_column_has_no_values():
    assert Table("t", COLUMNS, 5).values("other") == [None] * 5
    assert Table("t", COLUMNS, 5).values("strings") == ["1", "1", None, "1", "2"]


def test_a_problem_names_file_row_and_field_as_a_person_counts():
    plain = Table("DataFrame", {"a": [1]}, 1)
    assert str(plain.problem(0, "a", "bad", "is odd")) == "DataFrame, row 1: a: is odd"
    file = Table("t.csv", {"a": [1]}, 1, unit="line", lines=lambda: [7])
    assert str(file.problem(0, "", "bad", "is odd")) == "t.csv, line 7: is odd"
    assert str(file.problem(None, "", "bad", "is odd")) == "t.csv: is odd"


@pytest.mark.parametrize(
    ("columns", "key", "hint"),
    [
        (["movieId", "title"], "item_id", "set data.columns.item_id to the right name, perhaps 'movieId'"),
        (["stars"], "rating", "set data.columns.rating to the right name, perhaps 'stars'"),
        (["itemid2"], "item_id", "set data.columns.item_id to the right name, perhaps 'itemid2'"),
        (["foo", "bar"], "user_id", "set data.columns.user_id to the right name"),
        (["a;b"], "user_id", "separate the fields of a CSV with commas"),
        (
            ["item_id title"],
            "item_id",
            "set the separator of the table, for example data.items_table.separator or interactions_table.separator",
        ),
        (
            ["1", "Heat"],
            "item_id",
            "if the first line is no header, name the columns in data.items_table.header or interactions_table.header",
        ),
    ],
)
def test_a_missing_column_names_the_key_that_maps_it(columns, key, hint):
    problem = Table("t.csv", {name: [1] for name in columns}, 1).missing(key, key)
    assert (problem.kind, problem.hint) == ("missing-column", hint)
    assert problem.reason == f"no column {key!r} (found: {', '.join(columns)})"


def test_the_first_error_is_raised_with_the_number_of_others():
    warning = Problem("t.csv", 1, "a", "odd", "is odd", severity="warning")
    fail_on_errors([warning])
    error = Problem("t.csv", 2, "a", "bad", "is bad", hint="mend it")
    with pytest.raises(DataError) as caught:
        fail_on_errors([warning, error])
    assert (caught.value.message, caught.value.hint) == ("t.csv, row 2: a: is bad", "mend it")
    with pytest.raises(DataError, match=r"\(and 1 more problems\)") as caught:
        fail_on_errors([error, error])
    assert caught.value.hint == "mend it; `recommender validate` lists every problem"


def test_a_table_is_passed_on_and_other_things_are_refused():
    table = Table("t", {}, 0)
    assert read_table(table, "items") is table
    with pytest.raises(DataError, match="list: cannot be read as a table of targets"):
        read_table([1], "targets")
    with pytest.raises(DataError, match="a column name stands twice"):
        read_table(pd.DataFrame([[1, 2]], columns=["a", "a"]), "items")


def test_columns_of_mixed_types_are_read_from_a_frame():
    table = read_table(pd.DataFrame({"a": [1, "x", [2]]}), "items")
    assert table.values("a") == [1, "x", [2]] and table.rows == 3


def test_periods_intervals_and_named_indices_of_frames_are_columns():
    frame = pd.DataFrame(
        {
            "period": pd.PeriodIndex(["2020-02", "2020-01"], freq="M"),
            "interval": pd.IntervalIndex.from_tuples([(0, 1), (1, 2)]),
            "kind": pd.Categorical(["b", "a"]),
        },
        index=pd.Index([7, 8], name="item_id"),
    )
    table = read_table(frame, "items")
    assert table.values("item_id") == [7, 8] and table.values("kind") == ["b", "a"]
    assert [str(value)[:10] for value in table.values("period")] == ["2020-02-01", "2020-01-01"]
    assert [str(value) for value in table.values("interval")] == ["(0, 1]", "(1, 2]"]


def test_parquet_of_periods_maps_and_short_floats(tmp_path):
    pd.DataFrame({"p": pd.PeriodIndex(["2020-02", "2020-01"], freq="M")}).to_parquet(tmp_path / "periods.parquet")
    assert read_table(tmp_path / "periods.parquet", "items").moments("p").ranks.tolist() == [1, 0]
    maps = pa.array([[("Colour", "red")], None], pa.map_(pa.string(), pa.string()))
    prices = pa.array([12.99, None], pa.float32())
    pa.parquet.write_table(pa.table({"details": maps, "price": prices}), tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet", "items")
    assert table.values("details") == [{"Colour": "red"}, None]
    assert [str(value) for value in table.values("price")] == ["12.99", "None"]


DOUBLED = [("k", "x"), ("k", "y")]


@pytest.mark.parametrize(
    ("values", "kind", "texts"),
    [
        ([DOUBLED], pa.map_(pa.string(), pa.string()), ["k: x", "k: y"]),
        ([[(1, "x"), (1, "y")]], pa.map_(pa.int32(), pa.string()), ["1: x", "1: y"]),
        ([[DOUBLED]], pa.list_(pa.map_(pa.string(), pa.string())), ["k: x", "k: y"]),
        ([{"m": DOUBLED}], pa.struct([("m", pa.map_(pa.string(), pa.string()))]), ["m: k: x", "m: k: y"]),
        ([[("k", ["x"]), ("k", ["y"])]], pa.map_(pa.string(), pa.list_(pa.string())), ["k: x", "k: y"]),
        ([[("name", "x"), ("name", "y")]], pa.map_(pa.string(), pa.string()), ["x", "y"]),
        ([[({"a": 1}, "x")]], pa.map_(pa.struct([("a", pa.int8())]), pa.string()), ["{'a': 1}: x"]),
        ([[0.1]], pa.list_(pa.float32()), ["0.1"]),
        ([{"price": 12.99}], pa.struct([("price", pa.float32())]), ["price: 12.99"]),
    ],
)
def test_nested_columns_lose_nothing_from_files_and_frames(tmp_path, recwarn, values, kind, texts):
    column = pa.array(values, kind)
    pa.parquet.write_table(pa.table({"details": column}), tmp_path / "t.parquet")
    frame = pd.DataFrame({"details": pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([column])))})
    for source in (tmp_path / "t.parquet", frame):
        assert list(flat(read_table(source, "items").values("details")[0])) == texts
    assert not recwarn.list


def test_records_with_two_fields_of_one_name_are_refused(tmp_path):
    record = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    pa.parquet.write_table(pa.table({"details": record}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t.parquet: column 'details' holds records with two fields 'a'"):
        read_table(tmp_path / "t.parquet", "items")


def test_numbers_with_a_decimal_comma_are_numbers_unless_something_else_stands_there():
    numbers = Table("t", {"rating": ["3,5", "4", "", None]}, 4).numbers("rating")
    assert numbers[:2].tolist() == [3.5, 4] and np.isnan(numbers[2:]).all()
    assert np.isnan(Table("t", {"rating": ["3,5", "many"]}, 2).numbers("rating")).all()


def test_cells_that_are_no_id_have_no_code_and_a_reason():
    columns = {"u": ["5.0", 5, "5", True, 5.5, None, b"5", b"\xe9", [5]]}
    table = Table("t.csv", columns, 9)
    codes, ids = table.factorize("u")
    assert (codes.tolist(), ids) == ([0, 0, 0, -1, -1, -1, 0, -1, -1], ["5"])
    assert [table.id_problem(row, "u", columns["u"][row], "user").kind for row in (3, 5)] == ["bad-id", "empty-id"]
    assert table.id_problem(7, "u", b"\xe9", "user").reason == "b'\\xe9' is no id: the bytes are no UTF-8"


@pytest.mark.parametrize(
    "name", ["items.tsv", "items.csv.gz", "items.dat", "items.json", "items.ndjson", "items.jsonl.xz"]
)
def test_a_folder_may_hold_its_table_in_any_form(tmp_path, name):
    content = b'{"item_id": "1"}\n' if "json" in name else b"item_id\ttitle\n1\ta\n"
    pack = {".gz": gzip.compress, ".xz": lzma.compress}.get(f".{name.rsplit('.', 1)[-1]}", bytes)
    (tmp_path / name).write_bytes(pack(content))
    assert read_table(tmp_path, "items").values("item_id") == ["1"]


def test_a_line_is_said_once(caplog):
    say_once.cache_clear()
    for _ in range(3):
        say_once("read as cp1252")
    assert caplog.messages == ["read as cp1252"]


def test_a_parquet_file_under_another_name_is_read(tmp_path):
    pd.DataFrame({"item_id": [1]}).to_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").rename(tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv", "items").values("item_id") == [1]


def test_two_columns_of_one_name_are_refused(tmp_path):
    with pytest.raises(DataError, match="'1' stands twice"):
        read_table(pd.DataFrame({1: [1], "1": [2]}), "items")
    (tmp_path / "t.csv").write_text("1,2,3\n")
    with pytest.raises(DataError, match="names column 'item_id' twice"):
        read_table(tmp_path / "t.csv", "interactions", TableConfig(header=("user_id", "item_id", "item_id")))


def test_short_floats_of_a_category_that_may_be_rounded_are_no_ids():
    values = np.array([2**24, 2], dtype=np.float32)
    table = read_table(pd.DataFrame({"item_id": pd.Series(values).astype("category")}), "items")
    codes, ids = table.factorize("item_id")
    assert codes.tolist() == [-1, 0] and ids == ["2"]
    assert "not exact" in table.id_problem(0, "item_id", table.values("item_id")[0], "item").reason


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1.234,50", "12,00", "1.000", "3"], [1234.5, 12, 1000, 3]),
        (["3,5", "1,000"], [3.5, 1]),
        (["3,5", "4.5"], [3.5, None]),
        (["13,883", "11,690", "4"], [None, None, 4]),
        (["1,000,000", "2"], [None, 2]),
        (["0,125", "0,250"], [0.125, 0.25]),
        (["1.000", "2.500"], [1, 2.5]),
    ],
)
def test_decimal_commas_and_separators_of_thousands_are_told_apart_or_refused(texts, numbers):
    found = Table("t", {"rating": texts}, len(texts)).numbers("rating").tolist()
    assert [None if math.isnan(number) else number for number in found] == numbers


@pytest.mark.parametrize("mark", "^~ /")
def test_a_single_column_asks_for_the_separator(tmp_path, mark):
    (tmp_path / "t.csv").write_text(f"item{mark}title\n1{mark}A\n")
    assert "set the separator" in read_table(tmp_path / "t.csv", "items").missing("item_id", "item_id").hint
