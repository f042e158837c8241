"""Items that are written as a table are read again to the same, with media that lie in other folders."""

from __future__ import annotations

import json
import os
import re

import pytest

from recommender.data.catalogue import Catalogue
from recommender.data.joining import ITEMS, join_catalogues
from recommender.data.written_tables import MEDIA, write_items
from tests.data.test_joining import PRODUCT_EVENTS, PRODUCTS, folder
from tests.media_files import picture


@pytest.fixture
def films(tmp_path):
    path = tmp_path / "films"
    path.mkdir()
    rows = []
    for number in range(3):
        picture(number).save(path / f"{number}.png")
        rows.append({"item_id": str(number), "title": f"Film {number}", "image": f"{number}.png"})
    (path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (path / "interactions.csv").write_text("user_id,item_id,timestamp\nu,0,1\nu,1,2\n")
    return path


def bytes_of(catalogue):
    return [item.image.read_bytes() for item in catalogue]


@pytest.mark.parametrize("links", [True, False], ids=["linked", "copied"])
def test_media_of_another_folder_can_be_read(films, tmp_path, links, monkeypatch):
    def refused(*_):
        raise OSError("no links here")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    catalogue = Catalogue.load(str(films / "items.jsonl"))
    written = tmp_path / "study" / "known.jsonl"
    write_items(written, list(catalogue)[1:])
    again = Catalogue.load(str(written))
    assert again.item_ids == ("1", "2") and bytes_of(again) == bytes_of(catalogue)[1:]
    assert all(item.image.resolve().is_relative_to(tmp_path / "study") for item in again)
    write_items(tmp_path / "study" / "items.jsonl", catalogue)
    assert len(list((tmp_path / "study" / MEDIA).iterdir())) == 3  # the two of before are not copied once more
    picture(9).save(films / "1.png")
    write_items(written, catalogue)
    assert bytes_of(Catalogue.load(str(written))) == bytes_of(catalogue)


def test_media_beside_the_table_stay_where_they_are(films):
    write_items(films / "again.jsonl", Catalogue.load(str(films / "items.jsonl")))
    rows = [json.loads(line) for line in (films / "again.jsonl").read_text().splitlines()]
    assert [row["image"] for row in rows] == ["0.png", "1.png", "2.png"]
    assert not (films / MEDIA).exists()


def test_media_are_called_as_they_were(films, tmp_path):
    (films / "0.png").rename(films / "A trailer, the 1st.png")
    table = films / "items.jsonl"
    table.write_text(table.read_text().replace("0.png", "A trailer, the 1st.png"))
    for before, after in ((films, "once"), (tmp_path / "once", "twice")):
        write_items(tmp_path / after / ITEMS, Catalogue.load(str(before / "items.jsonl")))
        rows = [json.loads(line) for line in (tmp_path / after / ITEMS).read_text().splitlines()]
        assert re.fullmatch(r"media/A-trailer-the-1st-[0-9a-f]{16}\.png", rows[0]["image"]), rows[0]
        assert set(rows[0]) == {"item_id", "title", "image"}  # what is blank is left out: it would be warned of


def test_joined_catalogues_keep_their_pictures(films, tmp_path):
    products = folder(tmp_path / "products", PRODUCTS, "user_id,item_id,timestamp", PRODUCT_EVENTS)
    sources = {
        "films": products.model_copy(update={"items": str(films), "interactions": str(films)}),
        "products": products,
    }
    join_catalogues(sources, tmp_path / "both")
    joined = Catalogue.load(str(tmp_path / "both" / ITEMS))
    assert [item.image is not None for item in joined] == [True] * 3 + [False] * 2
