"""Items are added to a server that answers meanwhile: no request is lost, and afterwards the new ones are listed."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
import time
import urllib.request
from functools import partial
from pathlib import Path

import pytest
import uvicorn

from recommender.adapters.shipped import manifest_digest
from recommender.config import Config, ServingConfig
from recommender.engine import Recommender
from recommender.errors import DataError
from recommender.server.app import create_app
from recommender.server.new_items import add_to_model
from recommender.server.uvicorn_server import server_config
from recommender.server.versions import Version, Versions
from tests.media_files import picture
from tests.pipelines.test_update import base, world
from tests.server.http_server import RANK, Server

__all__ = ["base", "world"]  # fixtures
ITEMS = "/v1/items"


class Living(Server):
    """A server of a checkpoint, as `recommender serve` runs it."""

    def __init__(self, model, store):
        limits, self.model = ServingConfig(drain_seconds=5), model

        def opened(before=None):
            engine, state = Recommender.from_pretrained(model), manifest_digest(model)
            return Version(engine, create_app(engine, "tiny", limits, store), state)

        versions = Versions(
            opened(), opened, lambda: manifest_digest(model), None, partial(add_to_model, str(model), None)
        )
        self.socket = socket.socket(proto=socket.IPPROTO_TCP)  # see Server
        self.socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.server = uvicorn.Server(server_config(versions, limits, log_level="error"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def add(self, *items):
        status, _, text = self.post(ITEMS, {"items": list(items)})
        return status, json.loads(text)


@pytest.fixture
def server(world, store):
    served = Living(world, store)
    yield served
    served.close()


def png():
    held = io.BytesIO()
    picture(1).save(held, "PNG")
    return f"data:image/png;base64,{base64.b64encode(held.getvalue()).decode()}"


def test_a_new_item_is_listed_and_no_request_is_lost(server, store):
    stop, statuses = threading.Event(), []

    def ask():
        while not stop.is_set():
            statuses.append(server.post(RANK, {"history": ["103"], "k": 3})[0])

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    new = {"item_id": "new/1", "title": "The red war", "attributes": {"genres": ["comedy"], "year": 1990}}
    status, told = server.add(new | {"image": png()})
    stop.set()
    for thread in threads:
        thread.join()
    assert status == 200 and told["added"] == ["new/1"] and told["items"] == 21, told
    assert told["version"] == manifest_digest(server.model)
    assert len(statuses) > 3 and set(statuses) == {200}
    listed = json.loads(server.post(RANK, {"history": ["103"], "k": 20})[2])["items"]
    assert "new/1" in [item["item_id"] for item in listed]
    item = json.loads(server.get(f"{ITEMS}/new%2F1")[2])
    assert item["attributes"] == {"genres": ["comedy"], "year": ["1990"]} and item["image"]
    assert urllib.request.urlopen(server.url + item["image"]).headers["Content-Type"] == "image/jpeg"
    assert server.post(f"{ITEMS}/stock", {"out": ["new/1"]})[0] == 200
    listed = json.loads(server.post(RANK, {"history": ["103"], "k": 20})[2])["items"]
    assert listed and "new/1" not in [item["item_id"] for item in listed]


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ({"item_id": "103", "title": "The red night"}, "item '103' is known already"),
        ({"item_id": "new"}, "items.0.title"),
        ({"item_id": "new", "title": " "}, "items.0.title"),
        ({"item_id": "new", "title": "The sun", "image": "http://example.com/a.png"}, "nothing is fetched"),
        ({"item_id": "new", "title": "The sun", "audio": png()}, "data:audio/"),
        ({"item_id": "new", "title": "The sun", "video": png()}, "data:video/"),
        ({"item_id": "new", "title": "The sun", "picture": "a"}, "items.0.picture"),
    ],
)
def test_what_is_wrong_is_one_line_and_changes_nothing(server, item, why):
    before = manifest_digest(server.model)
    status, told = server.add(item)
    assert status == 400 and why in told["error"]["message"] and "\n" not in told["error"]["message"]
    assert manifest_digest(server.model) == before


def test_media_of_what_is_refused_do_not_stay(server):
    folder = Path(Config.load(server.model / "config.yaml").data.items).parent / "added-media"
    new, known = {"item_id": "new", "title": "The red sun", "image": png()}, {"item_id": "103", "title": "Known"}
    assert server.add(new, known)[0] == 400
    assert list(folder.iterdir()) == []
    assert server.add(new)[0] == 200
    (kept,) = folder.iterdir()
    assert server.add(known | {"image": png()})[0] == 400
    assert list(folder.iterdir()) == [kept]  # an item has it


def test_a_broken_medium_is_told_by_its_field_and_not_by_a_path_of_the_server(server, monkeypatch):
    def unreadable(model, items, **named):
        raise DataError(f"item 'new': {items[0].video}: not a readable video", "save it as MP4")

    monkeypatch.setattr("recommender.server.new_items.add_items", unreadable)
    status, told = server.add({"item_id": "new", "title": "The sun", "video": "data:video/mp4;base64,AAAA"})
    assert status == 400
    assert told["error"]["message"] == "item 'new': video: not a readable video (hint: save it as MP4)"


def test_an_application_alone_takes_no_items(embedded_server):
    assert embedded_server.post(ITEMS, {"items": [{"item_id": "a", "title": "b"}]})[0] == 405
