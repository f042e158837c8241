"""What is out of stock is in no list, in both engines, whoever asks and however."""

from __future__ import annotations

import json

import pytest

from tests.server.http_server import CHAT, RANK, Server

STOCK = "/v1/items/stock"


@pytest.fixture
def server(engine, store):
    served = Server(engine, store)
    yield served
    served.close()


def listed(server, **body):
    status, _, text = server.post(RANK, {"k": 5} | body)
    assert status == 200, text
    return [item["item_id"] for item in json.loads(text)["items"]]


def said(server, words, **body):
    status, _, text = server.post(CHAT, {"messages": [{"role": "user", "content": words}], "explain": False} | body)
    assert status == 200, text
    return [item["item_id"] for item in json.loads(text)["recommendations"]]


def test_what_is_out_is_in_no_list_until_it_is_back(server, engine, store):
    before = listed(server, history=["103"])
    out = before[:2]
    status, _, text = server.post(STOCK, {"out": out})
    assert (status, json.loads(text)) == (200, {"object": "stock", "out_of_stock": 2})
    for body in ({"history": ["103"]}, {"history": [out[0]]}, {"only": [*out, "110"]}, {"history": [], "k": 20}):
        assert not set(out) & set(listed(server, **body))
    everything = said(server, "recommend me some films", k=20)
    assert everything and not set(out) & set(everything)
    ranked = engine.rank([engine.catalogue.indices(["103"])], 20)[0]
    assert not set(engine.catalogue.indices(out)) & set(ranked.items)
    assert server.post(STOCK, {"back": out})[0] == 200
    assert listed(server, history=["103"]) == before
    assert [row.kind for row in store.audit.last(20)].count("stock") == 2


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, "say which items are out of stock, or back"),
        ({"out": ["103"], "back": [103]}, "item '103' cannot be out and back at once"),
        ({"out": ["103", "nothing"]}, "unknown item id 'nothing'"),
        ({"out": "103"}, "out"),
        ({"gone": ["103"]}, "gone"),
    ],
)
def test_what_is_wrong_is_one_line_and_changes_nothing(server, store, body, why):
    status, _, text = server.post(STOCK, body)
    assert status == 400 and why in json.loads(text)["error"]["message"]
    assert store.stock.out() == frozenset()


def test_without_a_store_nothing_is_kept(embedded_server):
    assert embedded_server.post(STOCK, {"out": ["103"]})[0] == 409


def test_an_engine_that_is_no_longer_served_asks_the_store_no_more(embedded, store):
    def ranked():
        return [int(item) for item in embedded.rank([[0]], 3)[0].items]

    before = ranked()
    served = Server(embedded, store)
    store.stock.change([embedded.catalogue.item_ids[before[0]]], [])
    without = ranked()
    served.close()
    assert before[0] not in without and ranked() == before
