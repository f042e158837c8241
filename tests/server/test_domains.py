"""A joined catalogue behind a real server: filters and conversations keep to a domain, and both come in turn."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from recommender.data.catalogue import Catalogue
from recommender.engine import Recommender
from tests.conftest import ITEMS, add_listener, wide_checkpoint
from tests.server.http_server import CHAT, RANK, running

FILMS = ITEMS // 2


@pytest.fixture(scope="module", params=["hears", "reads by rules"])
def server(request, catalogue, features, tmp_path_factory):
    joined = Catalogue(
        replace(item, attributes={**item.attributes, "domain": ("films" if n < FILMS else "products",)})
        for n, item in enumerate(catalogue)
    )
    checkpoint = wide_checkpoint(tmp_path_factory.mktemp("joined"), joined, features, 1)
    if request.param == "hears":
        add_listener(checkpoint)
    checkpoint.config = checkpoint.config.updated({"prompt.noun": "films and products"})
    with running(Recommender(checkpoint)) as served:
        yield served


def domains_of(server, items):
    """Return f or p for each item of an answer."""
    return "".join("f" if int(item["item_id"]) - 100 < FILMS else "p" for item in items)


def said(server, *texts, **more):
    messages = [{"role": "user", "content": text} for text in texts]
    status, _, body = server.post(CHAT, {"messages": messages, "k": 4, "explain": False, **more})
    assert status == 200, body
    return json.loads(body)


def test_a_filter_keeps_to_one_domain(server):
    for domain, letter in (("films", "f"), ("products", "p")):
        body = {"history": ["103", "115"], "k": 6, "filters": {"domain": [domain]}, "explain": False}
        status, _, answer = server.post(RANK, body)
        assert status == 200, answer
        assert domains_of(server, json.loads(answer)["items"]) == 6 * letter


def test_a_conversation_keeps_to_the_domain_that_is_asked_for(server):
    assert domains_of(server, said(server, "Recommend me some films")["recommendations"]) == "ffff"
    answer = said(server, "Show me products, please", history=["103"])
    assert domains_of(server, answer["recommendations"]) == "pppp"
    assert answer["filters"] == ["products"]
    assert domains_of(server, said(server, "Recommend films", "Now some products")["recommendations"]) == "pppp"


def test_who_asks_for_both_gets_them_in_turn(server):
    answer = said(server, "I want products and films", history=["103", "115"])
    assert domains_of(server, answer["recommendations"]) == "pfpf"
    titles = [item["title"] for item in answer["recommendations"]]
    assert all(title in answer["choices"][0]["message"]["content"] for title in titles)


def test_a_reply_with_sentences_names_both(server):
    answer = said(server, "films and products", history=["103", "115"], explain=True)
    assert domains_of(server, answer["recommendations"]) == "fpfp"
    assert all(item["justification"] for item in answer["recommendations"])


def test_what_if_keeps_to_what_the_conversation_asks_for(server):
    messages = [{"role": "user", "content": "Show me products, please"}]
    body = {"history": ["103", "115"], "k": 4, "kind": "what_if", "removed": ["115"]}
    status, _, text = server.post("/v1/explanations", {**body, "messages": messages})
    answer = json.loads(text)
    assert status == 200 and domains_of(server, answer["before"]) == "pppp"
    assert domains_of(server, answer["after"]) == "pppp"
    chip = said(server, "Show me products, please")["understood"][0]["id"]
    taken_back = {**body, "messages": messages, "dropped": [chip]}
    free = json.loads(server.post("/v1/explanations", {**body})[2])
    assert json.loads(server.post("/v1/explanations", taken_back)[2])["before"] == free["before"]


def test_what_is_excluded_is_in_no_answer_of_a_conversation(server):
    first = [item["item_id"] for item in said(server, "films", history=["103"])["recommendations"]]
    again = said(server, "films", history=["103"], exclude=first[:2])
    assert not set(first[:2]) & {item["item_id"] for item in again["recommendations"]}
    status, _, body = server.post(CHAT, {"messages": [{"role": "user", "content": "films"}], "exclude": ["nobody"]})
    assert status == 400 and "nobody" in json.loads(body)["error"]["message"]


def test_sentences_speak_of_films_as_of_films(server):
    answer = said(server, "films", history=["103", "107", "105"], explain=True, k=12)
    told = " ".join(item["justification"] for item in answer["recommendations"])
    assert "product" not in told
    assert any(
        verb in told for verb in ("saw", "watched")
    )  # of "films and products" one can only say that they chose it
