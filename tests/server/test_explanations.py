"""Explanations and parameters over HTTP: what the engine says, as data; wrong questions are one line."""

import json
from urllib.parse import quote

import pytest

from recommender.engine import Request
from recommender.engine.counterfactual_answers import what_if, why_not
from recommender.engine.item_explanation import explain_item
from recommender.engine.parameters import parameters
from tests.server.http_server import CHAT, events

EXPLAIN, PARAMETERS = "/v1/explanations", "/v1/parameters"
HISTORY = ["103", "107"]
BODY = {"history": HISTORY, "k": 4}


def asked(server, body):
    status, _, text = server.post(EXPLAIN, BODY | body)
    return status, json.loads(text)


def plain(answer):
    return json.loads(json.dumps(answer))


@pytest.mark.parametrize("more", [{}, {"without": ["image", "popularity"]}, {"filters": {"genres": ["comedy"]}}])
def test_answers_are_the_engines(embedded_server, embedded, more):
    request = Request(history=HISTORY, k=4, **more)
    head = {"object": "explanation", "model": "tiny", "generated": True}
    status, answer = asked(embedded_server, more | {"kind": "why", "item_id": "110"})
    assert status == 200 and answer == head | {"kind": "why"} | plain(explain_item(embedded, request, "110"))
    status, answer = asked(embedded_server, more | {"kind": "why_not", "item_id": "111"})
    assert status == 200 and answer == head | {"kind": "why_not"} | plain(why_not(embedded, request, "111"))
    status, answer = asked(embedded_server, more | {"kind": "what_if", "removed": [107]})
    assert status == 200 and answer == head | {"kind": "what_if"} | plain(what_if(embedded, request, ["107"]))


def test_media_are_looked_into(embedded_server):
    status, answer = asked(embedded_server, {"kind": "media", "item_id": "110"})
    assert status == 200 and answer["item_id"] == "110" and answer["modalities"] and answer["picture"] is None
    assert "/" not in json.dumps(answer["missing"])  # nothing names a folder


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"kind": "why"}, "item_id"),
        ({"kind": "what_if"}, "removed"),
        ({"kind": "what_if", "removed": ["100"]}, "not in the history"),
        ({"kind": "why", "item_id": "nobody"}, "nobody"),
        ({"kind": "why", "item_id": "x" * 5000}, "item_id"),
        ({"kind": "because", "item_id": "110"}, "kind"),
        ({"item_id": "110"}, "kind"),
        ({"kind": "why", "item_id": "110", "without": ["knowledge"]}, "knowledge"),
        ({"kind": "why_not", "item_id": "110", "k": 10**9}, "k"),
        ({"kind": "why", "item_id": "110", "history": ["../../x"]}, "unknown item id"),
    ],
)
def test_a_wrong_question_is_one_line(embedded_server, body, told):
    status, answer = asked(embedded_server, body)
    assert status == 400 and told in answer["error"]["message"] and "\n" not in answer["error"]["message"]


def test_a_chat_says_what_it_understood_and_takes_it_back(embedded_server):
    body = {
        "messages": [{"role": "user", "content": "comedy films from the 1990s"}],
        "explain": False,
        "history": ["103"],
    }
    answer = json.loads(embedded_server.post(CHAT, body)[2])
    kinds = {chip["kind"]: chip for chip in answer["understood"]}
    assert "years" in kinds and set(kinds["years"]) == {"id", "kind", "text"} and answer["history"] == ["103"]
    dropped = [chip["id"] for chip in answer["understood"] if chip["kind"] == "years"]
    again = json.loads(embedded_server.post(CHAT, body | {"dropped": [*dropped, "nobody"]})[2])
    assert {chip["kind"] for chip in again["understood"]} == set(kinds) - {"years"}
    last = events(embedded_server.post(CHAT, body | {"stream": True})[2])[-2][1]
    assert last["understood"] == answer["understood"] and last["history"] == ["103"]
    assert embedded_server.post(CHAT, body | {"dropped": ["x"] * 1001})[0] == 400
    assert embedded_server.post(CHAT, body | {"dropped": ["x" * 101]})[0] == 400


def test_parameters_are_the_engines(embedded_server, embedded):
    status, _, text = embedded_server.get(f"{PARAMETERS}?history=103,107&k=5&without=image")
    expected = parameters(embedded, Request(history=HISTORY, k=5, without=["image"]))
    assert status == 200 and json.loads(text) == plain(expected) | {"model": "tiny"}
    assert json.loads(embedded_server.get(PARAMETERS)[2])["history"] == 0


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("history=nobody", "nobody"),
        ("k=0", "k"),
        ("k=1000000000", "k"),
        ("without=pictures", "without"),
        (f"history={quote(chr(34))}103", "history: cannot be read as a list with commas"),
        (f"domains={quote(chr(34))}films", "domains: cannot be read as a list with commas"),
        ("query=" + "x" * 501, "query"),
        ("model=other", "other"),
        ("history=" + ",".join(["103"] * 10_001), "10,000"),
    ],
)
def test_wrong_parameters_are_one_line(embedded_server, query, told):
    status, _, text = embedded_server.get(f"{PARAMETERS}?{query}")
    assert 400 <= status < 500 and told in json.loads(text)["error"]["message"]
