"""The catalogue over HTTP: search, ids of any form, pictures and sounds of those files that the catalogue names."""

import io
import json
import urllib.error
import urllib.request
from dataclasses import replace
from urllib.parse import quote

import numpy as np
import pytest
import soundfile
from PIL import Image

from recommender.data.catalogue import Catalogue
from recommender.errors import RecommenderError
from recommender.server.items import Items
from tests.server.http_server import Server, WrappedEngine, until

STRANGE = ["a/b", "a/image", "../../etc/passwd", "ü & <b>", "x,y", "100%"]


class OtherItems(WrappedEngine):
    """An engine whose first items have other ids and media."""

    def __init__(self, engine, catalogue):
        super().__init__(engine)
        self.catalogue = catalogue


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    Image.effect_mandelbrot((900, 600), (-2, -1, 1, 1), 20).convert("RGB").save(folder / "picture.png")
    soundfile.write(folder / "sound.wav", np.sin(np.arange(8000) / 10), 8000)
    (folder / "secret.txt").write_text("no medium")
    return folder


@pytest.fixture(scope="module")
def shop(embedded, folder):
    items = list(embedded.catalogue)
    for number, name in enumerate(STRANGE):
        items[number] = replace(items[number], item_id=name)
    items[6] = replace(items[6], title="<script>alert(1)</script> Café Zürich", image=folder / "picture.png")
    items[7] = replace(items[7], audio=folder / "sound.wav", image=folder / "gone.png")
    items[8] = replace(items[8], image=folder / "secret.txt", audio=folder / "secret.txt")
    return Catalogue(items)


@pytest.fixture(scope="module")
def served(embedded, shop):
    server = Server(OtherItems(embedded, shop), listed=10)
    yield server
    server.close()


def got(server, path, **headers):
    status, answered, body = server.get(path, **headers)
    return status, json.loads(body), answered


def raw(server, path, **headers):
    request = urllib.request.Request(server.url + path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


@pytest.mark.parametrize("item_id", STRANGE)
def test_an_id_may_hold_any_character(served, item_id):
    status, item, _ = got(served, f"/v1/items/{quote(item_id, safe='')}")
    assert status == 200 and item["item_id"] == item_id
    assert set(item) == {"item_id", "title", "text", "attributes", "image", "audio"}
    assert item["attributes"]["genres"]
    assert got(served, f"/v1/items?ids={quote(item_id, safe='')}")[1]["data"][0]["item_id"] == item_id


def test_items_are_told_in_the_order_of_their_ids(served):
    status, answer, _ = got(served, "/v1/items?ids=110,106,107")
    assert status == 200 and answer["total"] == 3
    assert [item["item_id"] for item in answer["data"]] == ["110", "106", "107"]
    status, answer, _ = got(served, "/v1/items?ids=110,nobody,106")
    assert status == 404 and "'nobody'" in answer["error"]["message"] and answer["error"]["code"] == "item_not_found"
    assert got(served, "/v1/items?ids=" + ",".join(["110"] * 11))[0] == 400


def test_a_search_finds_by_title_by_beginnings_accents_aside_and_by_values(served):
    def found(text):
        answer = got(served, f"/v1/items?limit=10&search={quote(text)}")[1]
        return [item["item_id"] for item in answer["data"]]

    assert found("cafe zur") == found("ZÜRICH") == found("zurihc") == ["106"]
    assert set(found("yellow river")) == {"115"}
    assert len(got(served, "/v1/items?search=1980")[1]["data"]) == 10
    assert found("qqqq") == found("\u0000") == found("%_*") == []


def test_pages_of_a_list_cover_the_catalogue_once_popular_items_first(served, embedded, shop):
    pages = [got(served, f"/v1/items?limit=10&offset={offset}")[1] for offset in (0, 10, 20, 10**9)]
    assert [page["total"] for page in pages] == [20] * 4 and pages[2]["data"] == pages[3]["data"] == []
    titles = [item["title"] for page in pages for item in page["data"]]
    scores = embedded.score([np.zeros(0, np.int64)], range(20))[0]
    assert len(set(titles)) == 20 and titles[0] == shop[int(scores.argmax())].title


@pytest.mark.parametrize(
    "query",
    ["search=" + "x" * 201, "limit=1000000000", "limit=0", "limit=11", "offset=-1", "limit=ten"],
)
def test_a_query_that_is_none_is_one_line(served, query):
    status, answer, _ = got(served, f"/v1/items?{query}")
    assert status == 400 and answer["error"]["param"] in ("search", "limit", "offset")


def test_a_search_of_a_megabyte_is_refused(served):
    try:
        status, _, body = raw(served, "/v1/items?search=" + "x" * 1_000_000)
    except OSError:  # the server closes a connection whose headers are no headers
        return
    assert 400 <= status < 500 and len(body) < 2000


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd/x",
        "%2e%2e%2f%2e%2e%2fsecret.txt",
        "nobody",
        "a%00b",
        "%ff%fe",
        "x" * 10_000,
        "",
        "106/image/x",
    ],
)
@pytest.mark.parametrize("medium", ["", "/image", "/audio"])
def test_an_unknown_item_is_not_found_whatever_its_id(served, path, medium):
    status, _, body = raw(served, f"/v1/items/{path}{medium}")
    assert status == 404 and b"Traceback" not in body and b"/tmp" not in body and len(body) < 1000


def test_a_picture_is_a_thumbnail_that_is_not_sent_twice(served):
    item = got(served, "/v1/items/106")[1]
    assert item["image"] == "/v1/items/106/image" and item["audio"] is None
    assert item["title"].startswith("<script>")  # it is data, and stays what it is
    status, headers, body = raw(served, f"{item['image']}?size=90")
    picture = Image.open(io.BytesIO(body))
    assert status == 200 and headers["Content-Type"] == "image/jpeg" and picture.size == (90, 60)
    assert headers["X-Content-Type-Options"] == "nosniff" and "max-age" in headers["Cache-Control"]
    assert raw(served, f"{item['image']}?size=90", If_None_Match=headers["ETag"])[0] == 304
    assert raw(served, f"{item['image']}?size=91", If_None_Match=headers["ETag"])[0] == 200
    for size in ("15", "1025", "1000000000", "-1", "x"):
        assert raw(served, f"{item['image']}?size={size}")[0] == 400


def test_a_sound_is_sent_in_parts(served, folder):
    item = got(served, "/v1/items/107")[1]
    assert item["audio"] == "/v1/items/107/audio" and item["image"] is None  # its file is not there
    whole = (folder / "sound.wav").read_bytes()
    status, headers, body = raw(served, item["audio"])
    assert status == 200 and body == whole and headers["Content-Type"] == "audio/wav"
    status, headers, body = raw(served, item["audio"], Range="bytes=10-19")
    assert status == 206 and body == whole[10:20] and headers["Content-Range"] == f"bytes 10-19/{len(whole)}"


def test_only_media_leave(served):
    for medium in ("image", "audio"):
        status, _, body = raw(served, f"/v1/items/108/{medium}")
        assert status == 404 and b"secret" not in body


def test_a_medium_that_comes_later_is_there(served, folder):
    assert raw(served, "/v1/items/107/image")[0] == 404
    Image.new("RGB", (50, 50), "red").save(folder / "gone.png")
    assert raw(served, "/v1/items/107/image")[0] == 200
    (folder / "gone.png").unlink()
    assert raw(served, "/v1/items/107/image")[0] == 404


def test_what_cannot_be_indexed_yet_says_so(embedded, monkeypatch):
    monkeypatch.setattr("recommender.server.items._INDEX_SECONDS", 0.05)
    monkeypatch.setattr(Items, "_build", lambda self: None)
    server = Server(embedded)
    try:
        status, answer, _ = got(server, "/v1/items?search=red")
        assert status == 503 and answer["error"]["code"] == "index_not_ready"
        assert got(server, "/v1/items/103")[0] == 200
    finally:
        server.close()


def test_the_catalogue_is_listed_in_its_order_where_popularity_is_not_known(embedded, monkeypatch):
    def refuse():
        raise RecommenderError("not known")

    monkeypatch.setattr(embedded, "popularity", refuse)
    server = Server(embedded)
    try:
        until(lambda: got(server, "/v1/items")[0] == 200)
        assert [item["item_id"] for item in got(server, "/v1/items?limit=3")[1]["data"]] == ["100", "101", "102"]
    finally:
        server.close()
