"""How text files are written is found by looking: packing, encoding, separator, quotes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile

import pyarrow as pa
import pytest

from recommender.config import TableConfig
from recommender.data.formats import read_csv, read_jsonl
from recommender.data.layout import find_layout, read_unpacked, sniff_encoding, unpacked_suffix
from recommender.errors import DataError

TEXT = "item_id,title\n1,Café\n2,B\n"


def columns(parsed):
    return {name: c if isinstance(c, list) else c.to_pylist() for name, c in parsed.columns.items()}


def zipped(content, *names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return buffer.getvalue()


def zstandard(content):
    sink = pa.BufferOutputStream()
    with pa.output_stream(sink, compression="zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
        (".zst", zstandard),
        (".zip", lambda content: zipped(content, "t.csv", "__MACOSX/._t.csv")),
        ("", gzip.compress),  # whatever its name says
    ],
)
def test_packed_files_are_read_with_their_lines(tmp_path, suffix, pack):
    path = tmp_path / f"t.csv{suffix}"
    path.write_bytes(pack(TEXT.encode()))
    parsed = read_csv(path)
    assert columns(parsed) == {"item_id": ["1", "2"], "title": ["Café", "B"]}
    assert list(parsed.lines()) == [2, 3]
    assert unpacked_suffix(path) == ".csv"


def test_broken_and_crowded_packages_are_refused(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(TEXT.encode())[:-9])
    (tmp_path / "b.zip").write_bytes(zipped(TEXT.encode(), "a.csv", "b.csv"))
    (tmp_path / "c.zip").write_bytes(zipped(b"", "x")[:-5])
    crowded = r"holds 2 files \(a.csv, b.csv\)"
    for name, reason in (("a.csv.gz", "cannot be unpacked"), ("b.zip", crowded), ("c.zip", "cannot be unpacked")):
        with pytest.raises(DataError, match=reason):
            read_unpacked(tmp_path / name)


@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("latin-1", "cp1252"),
        ("cp1252", "cp1252"),
    ],
)
def test_the_encoding_is_found(tmp_path, encoding, found):
    raw = TEXT.encode(encoding)
    assert sniff_encoding(raw) == found
    path = tmp_path / "t.csv"
    path.write_bytes(raw)
    parsed = read_csv(path)
    assert columns(parsed) == {"item_id": ["1", "2"], "title": ["Café", "B"]} and parsed.problems == ()
    assert parsed.note == (None if found.startswith("utf-8") else f"read as {found}")


def test_bytes_without_a_letter_in_windows_are_latin_1_and_foreign_letters_are_looked_up(tmp_path):
    assert sniff_encoding(b"a,b\n1,x\x81\xe9\n") == "latin-1"
    titles = ["Война и мир", "Преступление и наказание", "Мастер и Маргарита", "Братья Карамазовы", "Мёртвые души"]
    raw = ("item_id,title\n" + "".join(f"{n},{title}\n" for n, title in enumerate(titles))).encode("cp1251")
    (tmp_path / "t.csv").write_bytes(raw)
    assert columns(read_csv(tmp_path / "t.csv"))["title"] == titles
    assert columns(read_csv(tmp_path / "t.csv", TableConfig(encoding="cp1251")))["title"] == titles
    with pytest.raises(DataError, match="no encoding 'cp12510'"):
        read_csv(tmp_path / "t.csv", TableConfig(encoding="cp12510"))


def test_bytes_that_the_told_encoding_does_not_know_are_reported(tmp_path):
    (tmp_path / "t.csv").write_bytes("a,b\n1,é\n2,x\n".encode())
    problems = read_csv(tmp_path / "t.csv", TableConfig(encoding="ascii")).problems
    assert [(problem.line, problem.reason) for problem in problems] == [(2, "holds bytes that are no ascii")]


ROWS = [["item_id", "title", "x"], ["1", "Toy Story", "a"], ["2", "Heat", "b"]]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "::"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".dat", ".txt"])
def test_the_separator_is_found_whatever_the_name(tmp_path, separator, suffix):
    path = tmp_path / f"t{suffix}"
    path.write_text("".join(separator.join(row) + "\n" for row in ROWS))
    parsed = read_csv(path)
    assert columns(parsed) == dict(zip(ROWS[0], map(list, zip(*ROWS[1:], strict=True)), strict=True))
    assert list(parsed.lines()) == [2, 3]
    usual = (suffix, separator) in ((".csv", ","), (".tsv", "\t"))
    assert (parsed.note is None) is usual


@pytest.mark.parametrize(
    ("text", "names", "second"),
    [
        ("id;name, full\n1;a, b\n2;c\n", ["id", "name, full"], ["1", "a, b"]),
        ("id,genres\n1,A|B|C\n2,A\n", ["id", "genres"], ["1", "A|B|C"]),
        ('id\tname\n1\t"Weird Al" Yankovic\n2\tthe "\n', ["id", "name"], ["1", '"Weird Al" Yankovic']),
        ('id\tname\n1\t"say ""hi"""\n2\tx\n', ["id", "name"], ["1", 'say "hi"']),
        ('"id"\t"name"\n"1"\t"x"\n', ["id", "name"], ["1", "x"]),
        ('id\tname\n1\t"two\nlines"\n2\tx\n', ["id", "name"], ["1", "two\nlines"]),
        ('"id";"name"\n"1";"a \\"b\\"; c"\n"2";"d\\""\n', ["id", "name"], ["1", 'a "b"; c']),
        ('id,json\n1,"{""a"": ""b\\\\""}"\n', ["id", "json"], ["1", '{"a": "b\\\\"}']),
        ("id,path\n1,C:\\new\\table\n", ["id", "path"], ["1", "C:\\new\\table"]),
        (" id , name\n1, x\n", ["id", "name"], ["1", " x"]),
        (",id\n0,a\n", ["", "id"], ["0", "a"]),
        ("0,1,2\na,b,c\n", ["0", "1", "2"], ["a", "b", "c"]),
        ("id\n1\n2\n", ["id"], ["1"]),
        ("\n\nid;name\n1;a\n", ["id", "name"], ["1", "a"]),
        ("sep=;\r\nid;name, x\r\n1;a\r\n", ["id", "name, x"], ["1", "a"]),
        ("id,name\r1,a\r2,b\r", ["id", "name"], ["1", "a"]),
        ('id,"two\nlines"\n1,a\n', ["id", "two\nlines"], ["1", "a"]),
        ("id,name,,\n1,a,,\n", ["id", "name", "", "Unnamed: 3"], ["1", "a", "", ""]),
    ],
)
def test_separators_quotes_and_names_in_odd_files(tmp_path, text, names, second):
    path = tmp_path / "t.dat"
    path.write_text(text)
    parsed = columns(read_csv(path))
    assert (list(parsed), [values[0] for values in parsed.values()]) == (names, second)


def test_a_file_without_a_header_takes_the_names_that_are_told(tmp_path):
    path = tmp_path / "u.data"
    path.write_text("196\t242\t3\n186\t302\t3\n22\t377\n")
    parsed = read_csv(path, TableConfig(header=("user_id", "item_id", "rating")))
    assert columns(parsed) == {"user_id": ["196", "186"], "item_id": ["242", "302"], "rating": ["3", "3"]}
    assert list(parsed.lines()) == [1, 2]
    assert [(problem.line, problem.reason) for problem in parsed.problems] == [
        (3, "2 fields where the config has names 3")
    ]
    with pytest.raises(DataError, match="the first line has 3 fields, and the config names 2 columns"):
        read_csv(path, TableConfig(header=("user_id", "item_id")))


def test_what_is_told_is_taken(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b;c,d\n1,2;3,4\n")
    assert list(columns(read_csv(path, TableConfig(separator=";")))) == ["a,b", "c,d"]
    path.write_text("a~b\n1~2\n")
    assert columns(read_csv(path, TableConfig(separator="~"))) == {"a": ["1"], "b": ["2"]}
    assert find_layout(b"a\tb\n", path, TableConfig()).separator == "\t"


def test_json_in_other_forms(tmp_path):
    rows = '[{"a": 1},\n {"a": 2}]'
    for name, raw in (
        ("array.json", rows.encode()),
        ("wide.jsonl", '{"a": 1}\n{"a": 2}\n'.encode("utf-16")),
        ("packed.jsonl.gz", gzip.compress(b'{"a": 1}\n{"a": 2}\n', mtime=0)),
    ):
        (tmp_path / name).write_bytes(raw)
        assert columns(read_jsonl(tmp_path / name)) == {"a": [1, 2]}
    (tmp_path / "long.jsonl").write_text('{"a": 1}\n{"a": ' + "9" * 5000 + "}\n")
    (tmp_path / "mixed.json").write_text('[{"a": 1}, 5, {"a": 2}]')
    mixed = read_jsonl(tmp_path / "mixed.json")
    assert (columns(mixed), list(mixed.lines()), mixed.problems[0].line) == ({"a": [1, 2]}, [1, 3], 2)
    problems = read_jsonl(tmp_path / "long.jsonl").problems
    assert [(problem.line, problem.kind) for problem in problems] == [(2, "bad-json")]


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
@pytest.mark.parametrize("encoding", ["idna", "undefined", "utf\0", "punycode", "rot13"])
def test_encodings_of_no_tables_are_refused(encoding, name, tmp_path):
    (tmp_path / name).write_text('{"item_id": "é"}\n')
    read = read_csv if name.endswith("csv") else read_jsonl
    with pytest.raises(DataError, match="there is no encoding"):
        read(tmp_path / name, TableConfig(encoding=encoding))


def test_a_separator_may_be_any_letter(tmp_path):
    (tmp_path / "t.csv").write_text("item_idétitle\n1éA\n")
    assert list(read_csv(tmp_path / "t.csv", TableConfig(separator="é")).columns) == ["item_id", "title"]


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zst", "zip"])
def test_what_unpacks_to_far_more_than_a_table_is_refused(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr("recommender.data.layout._SMALL_UNPACKED", 1 << 20)
    path, raw = tmp_path / f"t.csv.{suffix}", b"item_id\n" + b"1\n" * (1 << 21)
    if suffix == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("t.csv", raw)
    elif suffix == "zst":
        path.write_bytes(pa.compress(raw, "zstd", asbytes=True))
    else:
        path.write_bytes({"gz": gzip, "bz2": bz2, "xz": lzma}[suffix].compress(raw))
    with pytest.raises(DataError, match="bytes unpack to more than"):
        read_unpacked(path)


@pytest.mark.parametrize("line", ["sep=;", "SEP=;", '"sep=;"', '"sep=;";', "sep=;;"])
def test_the_line_with_which_excel_begins_a_file_is_no_header(tmp_path, line):
    (tmp_path / "t.csv").write_bytes(f"{line}\r\nitem_id;title\r\n1;A, B\r\n".encode())
    parsed = read_csv(tmp_path / "t.csv")
    assert parsed.columns["title"].to_pylist() == ["A, B"] and [*parsed.lines()] == [3]
