from __future__ import annotations

import gzip
import io
import json

import datasets
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from recommender.config import ColumnsConfig, DataConfig
from recommender.data.catalogue import Catalogue, Item
from recommender.errors import DataError

ROWS = [
    {
        "item_id": "1",
        "title": "Toy Story (1995)",
        "genres": ["Animation", "Comedy"],
        "year": "1995",
        "description": "A boy.",
    },
    {"item_id": "007", "title": "GoldenEye", "genres": "Action|Thriller", "year": "1995", "description": "A spy!"},
    {"item_id": "x-3", "title": "Heat", "genres": None, "year": None, "description": None},
]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def csv(path, text):
    path.write_text(text)
    return path


def refused(source, *words, hint="", columns=None):
    with pytest.raises(DataError) as caught:
        Catalogue.load(source, columns)
    for word in words:
        assert word in caught.value.message
    assert hint in (caught.value.hint or "")
    assert "\n" not in str(caught.value)


def test_every_format_gives_the_same_catalogue(tmp_path):
    frame = pd.DataFrame(ROWS)
    frame["genres"] = [["Animation", "Comedy"], ["Action", "Thriller"], None]
    frame.to_parquet(tmp_path / "items.parquet")
    frame.assign(genres=["Animation,Comedy", "Action|Thriller", ""]).to_csv(tmp_path / "items.csv", index=False)
    (tmp_path / "folder").mkdir()
    jsonl(tmp_path / "folder" / "items.jsonl", ROWS)
    data = datasets.Dataset.from_pandas(frame, preserve_index=False)
    data.save_to_disk(str(tmp_path / "saved"))
    sources = [tmp_path / "items.parquet", tmp_path / "items.csv", tmp_path / "folder", str(tmp_path / "saved"), data]
    loaded = [Catalogue.load(source) for source in [*sources, frame]]
    assert len({catalogue.fingerprint for catalogue in loaded}) == 1
    assert all(tuple(catalogue) == tuple(loaded[0]) for catalogue in loaded)
    assert loaded[0].item_ids == ("1", "007", "x-3")
    assert loaded[0][1] == Item(
        "007", "GoldenEye", "A spy!", attributes={"genres": ("Action", "Thriller"), "year": ("1995",)}
    )
    assert loaded[0][2].attributes == {}


def test_a_dataset_may_be_shuffled(tmp_path):
    data = datasets.Dataset.from_list(ROWS[1:]).select([1, 0])
    assert Catalogue.load(data).item_ids == ("x-3", "007")


def test_ids_are_text_whatever_the_column_type():
    assert Catalogue.load(pd.DataFrame({"item_id": [50, 7]})).item_ids == ("50", "7")
    assert Catalogue.load(pd.DataFrame({"item_id": [50.0, 7.0]})).item_ids == ("50", "7")
    assert Catalogue.load(pd.DataFrame({"item_id": pd.array([50, 7], dtype="Int64")})).item_ids == ("50", "7")
    assert Catalogue.load(pd.DataFrame({"item_id": [50, "a"]})).item_ids == ("50", "a")


def test_parquet_integers_are_ids_without_a_fraction(tmp_path):
    pd.DataFrame({"item_id": [50, 7], "year": [1995.0, None]}).to_parquet(tmp_path / "i.parquet")
    catalogue = Catalogue.load(tmp_path / "i.parquet")
    assert catalogue.item_ids == ("50", "7")
    assert [catalogue.facts(row) for row in range(2)] == [{"year": ("1995",)}, {}]


def test_csv_text_is_never_reinterpreted(tmp_path):
    path = csv(tmp_path / "i.csv", 'item_id,title,rated\n007,"a, ""b""\nc",TRUE\n1e3,NULL,NA\n')
    catalogue = Catalogue.load(path)
    assert catalogue.item_ids == ("007", "1e3")
    assert catalogue[0].title == 'a, "b" c'
    assert [item.attributes.get("rated") for item in catalogue] == [("TRUE",), ("NA",)]


def test_bom_and_crlf_do_not_matter(tmp_path):
    (tmp_path / "i.csv").write_bytes(b"\xef\xbb\xbfitem_id,title\r\n1,Caf\xc3\xa9\r\n\r\n2,B\r\n")
    (tmp_path / "i.jsonl").write_bytes(b'\xef\xbb\xbf{"item_id": 1, "title": "Caf\xc3\xa9"}\r\n\r\n{"item_id": 2}\r\n')
    for name in ("i.csv", "i.jsonl"):
        catalogue = Catalogue.load(tmp_path / name)
        assert (catalogue.item_ids, catalogue[0].title) == (("1", "2"), "Café")


def test_text_is_cleaned_and_counted(tmp_path):
    rows = [
        {"item_id": "1", "title": "<b>Tom &amp; Jerry</b>", "description": "<p>One</p><p>two</p>"},
        {"item_id": "2", "title": " - ", "description": "fine"},
        {"item_id": "3", "title": None, "description": "..."},
    ]
    catalogue = Catalogue.load(jsonl(tmp_path / "i.jsonl", rows))
    assert [item.title for item in catalogue] == ["Tom & Jerry", "-", "item 3"]
    assert [item.text for item in catalogue] == ["One two", "fine", ""]
    report = catalogue.report
    assert (report.items, report.html_cleaned, report.blank_titles, report.blank_texts) == (3, 1, 1, 1)
    assert (report.missing_images, report.missing_audio) == (3, 3)


def test_columns_may_be_called_otherwise(tmp_path):
    path = csv(tmp_path / "i.csv", "asin,name,plot\nB0,Soap,Clean\n")
    columns = ColumnsConfig(item_id="asin", title="name", description="plot")
    assert Catalogue.load(path, columns)[0] == Item("B0", "Soap", "Clean")


def test_attributes_are_distinct_clean_values():
    row = {
        "item_id": "1",
        "writer": "Joss Whedon (story, first draft), Andrew Stanton, Joss Whedon (screenplay)",
        "categories": [["Beauty", "Hair &amp; Skin"], ["Beauty"]],
        "brand": "Procter, Gamble",
        "details": {"Colour": "red", "Empty": None},
        "price": 12.5,
        "blank": "  ",
    }
    assert Catalogue.load(datasets.Dataset.from_list([row]))[0].attributes == {
        "writer": ("Joss Whedon", "Andrew Stanton"),
        "categories": ("Beauty", "Hair & Skin"),
        "brand": ("Procter, Gamble",),
        "details": ("Colour: red",),
        "price": ("12.5",),
    }


def test_the_document_names_the_year_once():
    catalogue = Catalogue(
        [
            Item("1", "Toy Story (1995)", "A boy.", attributes={"year": ("1995",), "genres": ("Comedy", "Family")}),
            Item("2", "Heat", "", attributes={"year": ("1995",), "url": ("http://x.org",), "plot": ("long " * 20,)}),
            Item("3", "Who?", "Text"),
        ]
    )
    assert catalogue.document(0) == "Toy Story (1995). genres: Comedy, Family. A boy."
    assert catalogue.document(1).startswith("Heat (1995). plot: long long")
    assert "http" not in catalogue.document(1)
    assert catalogue.document(2) == "Who? Text."


def test_facts_are_short_and_in_table_order():
    attributes = {"genres": ("Comedy",), "plot": ("x" * 81,), "year": ("1995",), "url": ("https://x.org",)}
    assert list(Catalogue([Item("1", "A", attributes=attributes)]).facts(0)) == ["genres", "year"]


def test_the_fingerprint_follows_ids_titles_and_attributes():
    base = Item("1", "A", attributes={"year": ("1995",)})
    prints = [
        Catalogue([item]).fingerprint
        for item in (
            base,
            Item("2", "A", attributes=base.attributes),
            Item("1", "B", attributes=base.attributes),
            Item("1", "A"),
        )
    ]
    assert len(set(prints)) == 4
    assert Catalogue([base]).fingerprint == prints[0]


def test_items_are_found_by_id():
    catalogue = Catalogue([Item("50", "Star Wars (1977)"), Item("51", "Legends"), Item("9", "Nine")])
    assert catalogue.index("51") == 1
    assert catalogue.indices(["9", 50]).tolist() == [2, 0]
    assert catalogue.indices([]).dtype == np.int64
    assert "9" in catalogue
    assert "8" not in catalogue
    with pytest.raises(DataError) as caught:
        catalogue.indices(["9", "5o"])
    assert "'5o'" in caught.value.message
    assert "'50' (Star Wars (1977))" in caught.value.hint
    with pytest.raises(DataError, match="did you mean '51' \\(Legends\\)"):
        catalogue.index("legends")


def test_an_item_with_media(tmp_path):
    (tmp_path / "posters").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "posters" / "1.png")
    rows = [{"item_id": "1", "image": "posters/1.png"}, {"item_id": "2", "image": None}]
    catalogue = Catalogue.load(jsonl(tmp_path / "items.jsonl", rows))
    assert [item.image for item in catalogue] == [tmp_path / "posters" / "1.png", None]
    more = catalogue.with_media({1: tmp_path / "b.png"}, {0: tmp_path / "a.wav"})
    assert [item.image for item in more] == [tmp_path / "posters" / "1.png", tmp_path / "b.png"]
    assert more[0].audio == tmp_path / "a.wav"
    assert (more.report.missing_images, more.report.missing_audio) == (0, 1)
    assert catalogue[1].image is None
    assert more.fingerprint == catalogue.fingerprint


def test_a_picture_stored_in_the_dataset_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("RECOMMENDER_CACHE", str(tmp_path / "cache"))
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), "red").save(buffer, "PNG")
    rows = {"item_id": ["1", "2"], "image": [{"bytes": buffer.getvalue(), "path": "a.png"}, None]}
    features = datasets.Features({"item_id": datasets.Value("string"), "image": datasets.Image()})
    catalogue = Catalogue.load(datasets.Dataset.from_dict(rows, features=features))
    assert catalogue[0].image.read_bytes() == buffer.getvalue()
    assert catalogue[0].image.is_relative_to(tmp_path)
    assert catalogue[1].image is None


def test_new_items_come_last():
    catalogue = Catalogue([Item("1", "A")])
    longer = catalogue.append([Item("2", "B")])
    assert (longer.item_ids, len(catalogue), longer.report.items) == (("1", "2"), 1, 2)
    with pytest.raises(DataError, match="'1'"):
        longer.append([Item("1", "again")])


def test_what_is_no_table_is_refused(tmp_path):
    csv(tmp_path / "items.csv", "item_id\n1\n")
    refused(tmp_path / "itms.csv", "itms.csv", "no such file", hint="items.csv")
    refused(csv(tmp_path / "items.xlsx", "x"), "items.xlsx", hint=".parquet, .csv, .jsonl")
    refused(csv(tmp_path / "broken.parquet", "x"), "broken.parquet", "parquet")
    refused(csv(tmp_path / "none.csv", ""), "none.csv", "empty")
    refused(csv(tmp_path / "header.csv", "item_id,title\n"), "header.csv", "empty")
    refused(csv(tmp_path / "none.jsonl", "\n\n"), "none.jsonl", "empty")
    refused(csv(tmp_path / "twice.csv", "item_id,title,title\n1,a,b\n"), "'title'", "twice")
    refused(pd.DataFrame({"item_id": []}), "empty")
    refused(object(), "object", hint="DataFrame")
    (tmp_path / "nothing").mkdir()
    refused(tmp_path / "nothing", "items.parquet or items.csv or items.jsonl")
    jsonl(tmp_path / "items.jsonl", [{"item_id": 1}])
    refused(tmp_path, "items.csv, items.jsonl")
    refused(
        datasets.DatasetDict(a=datasets.Dataset.from_list([{"x": 1}]), b=datasets.Dataset.from_list([{"x": 1}])), "a, b"
    )


def test_a_missing_id_column_names_the_key_to_set(tmp_path):
    refused(
        csv(tmp_path / "a.csv", "asin,name\n1,a\n"),
        "'item_id'",
        "asin, name",
        hint="data.columns.item_id to the right name, perhaps 'asin'",
    )
    refused(csv(tmp_path / "b.csv", "Item-ID,name\n1,a\n"), hint="'Item-ID'")


def test_ids_must_be_there_and_unique(tmp_path):
    refused(csv(tmp_path / "a.csv", 'item_id,title\n1,"two\nlines"\n ,x\n'), "a.csv, line 4", "item_id", "empty")
    refused(csv(tmp_path / "b.csv", "item_id\n1\n\n2\n1\n"), "b.csv, line 5", "'1'", "first in line 2")
    refused(jsonl(tmp_path / "c.jsonl", [{"item_id": 1}, {"title": "x"}]), "c.jsonl, line 2", "empty")
    refused(pd.DataFrame({"item_id": [1, 1]}), "DataFrame, row 2", "'1'")
    refused(pd.DataFrame({"item_id": [1, 1, 1]}), "and 1 more problem", hint="recommender validate")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"item_id,title\n1,a\n2,b,c\n", ["a.csv, line 3", "3 fields where the header has 2"]),
        ("b.csv", b"item_id,title\n1,a\n2\n", ["b.csv, line 3", "1 fields"]),
        ("c.csv", b"item_id,title\n1,\xc3\xa9\xc3\xa8\xc3\xa0\n2,caf\xe9\n", ["c.csv, line 3", "not UTF-8", "0xe9"]),
        ("d.csv", b'item_id,title\n1,a\n2,"b\n3,c\n', ["d.csv", "after line 2", "never closed"]),
        ("e.csv.gz", gzip.compress(b"item_id,title\n1,a\n", mtime=0)[:20], ["e.csv.gz", "cannot be unpacked"]),
        ("f.jsonl", b'{"item_id": 1}\n{"item_id": \n', ["f.jsonl, line 2", "not valid JSON"]),
        ("g.jsonl", b'{"item_id": 1}\n[2]\n', ["g.jsonl, line 2", "found list"]),
        ("h.jsonl", b'{"item_id": "caf\xe9"}\n', ["h.jsonl, line 1", "not UTF-8"]),
    ],
)
def test_broken_lines_are_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, *words)


def test_absent_media_are_refused(tmp_path):
    refused(
        jsonl(tmp_path / "a.jsonl", [{"item_id": 1, "image": "p/1.jpg"}]),
        "a.jsonl, line 1",
        "image",
        "p/1.jpg",
        hint=str(tmp_path),
    )
    refused(jsonl(tmp_path / "b.jsonl", [{"item_id": 1, "audio": "https://x.org/a.mp3"}]), "a link", hint="download")


@pytest.mark.assets
def test_the_embedded_films():
    catalogue = Catalogue.load("movielens-100k")
    assert len(catalogue) == 1682
    assert "Star Wars" in catalogue[catalogue.index("50")].title
    assert catalogue.facts(catalogue.index("50"))["genres"]


@pytest.mark.parametrize("column", ["image", "video"])
@pytest.mark.parametrize("path", ["../secret.png", "{outside}/secret.png", "link.png"])
def test_a_table_does_not_choose_files_outside_its_folder(tmp_path, path, column):
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    (data / "link.png").symlink_to(tmp_path / "secret.png")
    table = jsonl(data / "i.jsonl", [{"item_id": "a", "title": "A", column: path.format(outside=tmp_path)}])
    with pytest.raises(DataError, match="outside the folder") as error:
        Catalogue.load(table)
    assert "RECOMMENDER_MEDIA_FOLDERS" in str(error.value)
    assert getattr(Catalogue.load(table, media=False)[0], column) is None


def test_a_video_is_a_file_beside_the_table_and_no_attribute(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    rows = [{"item_id": "a", "title": "A", "clip": "a.mp4"}, {"item_id": "b", "title": "B", "clip": "no film"}]
    table = jsonl(tmp_path / "i.jsonl", rows)
    data = DataConfig(columns=ColumnsConfig(video="clip"), on_error="drop")
    items = Catalogue.load(table, data)
    assert [(item.video, dict(item.attributes)) for item in items] == [(tmp_path / "a.mp4", {}), (None, {})]
    assert dict(Catalogue.load(table)[0].attributes) == {"clip": ("a.mp4",)}
    refused(jsonl(tmp_path / "j.jsonl", [{"item_id": 1, "video": "no film"}]), "no such file: no film")


def test_an_item_made_in_python_without_a_title_is_called_by_its_id():
    items = Catalogue([Item(" 7.0", ""), Item("8", " "), Item("9", "A")])
    assert [item.title for item in items] == ["item 7", "item 8", "A"]
