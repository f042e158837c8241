"""A joined catalogue behind a real server: filters and conversations keep to a domain, and both come in turn."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from recommender.engine import Recommender
from tests.conftest import add_listener
from tests.joined import joined_checkpoint, letters
from tests.server.http_server import CHAT, RANK, running
from tests.server.test_mcp_tools import called, session

WHY = "/v1/explanations"
BOTH = {"films": 0, "products": 0}


@pytest.fixture(scope="module", params=["hears", "reads by rules"])
def server(request, catalogue, features, tmp_path_factory):
    checkpoint = joined_checkpoint(tmp_path_factory.mktemp("joined"), catalogue, features)
    if request.param == "hears":
        add_listener(checkpoint)
    with running(Recommender(checkpoint)) as served:
        yield served


def ids_of(items):
    return [item["item_id"] for item in items]


def domains_of(items):
    return letters(ids_of(items))


def ranked(server, **fields):
    status, _, body = server.post(RANK, {"history": ["103", "115"], "k": 6, "explain": False, **fields})
    assert status == 200, body
    return json.loads(body)["items"]


def asked(server, kind, **fields):
    status, _, body = server.post(WHY, {"history": ["103", "115"], "k": 6, "kind": kind, **fields})
    assert status == 200, body
    return json.loads(body)


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
        assert domains_of(json.loads(answer)["items"]) == 6 * letter


def test_a_conversation_keeps_to_the_domain_that_is_asked_for(server):
    assert domains_of(said(server, "Recommend me some films")["recommendations"]) == "ffff"
    answer = said(server, "Show me products, please", history=["103"])
    assert domains_of(answer["recommendations"]) == "pppp"
    assert answer["filters"] == ["products"]
    assert domains_of(said(server, "Recommend films", "Now some products")["recommendations"]) == "pppp"


def test_who_asks_for_both_gets_them_in_turn(server):
    answer = said(server, "I want products and films", history=["103", "115"])
    assert domains_of(answer["recommendations"]) == "pfpf"
    titles = [item["title"] for item in answer["recommendations"]]
    assert all(title in answer["choices"][0]["message"]["content"] for title in titles)


def test_a_reply_with_sentences_names_both(server):
    answer = said(server, "films and products", history=["103", "115"], explain=True)
    assert domains_of(answer["recommendations"]) == "fpfp"
    assert all(item["justification"] for item in answer["recommendations"])


def test_what_if_keeps_to_what_the_conversation_asks_for(server):
    messages = [{"role": "user", "content": "Show me products, please"}]
    body = {"history": ["103", "115"], "k": 4, "kind": "what_if", "removed": ["115"]}
    status, _, text = server.post("/v1/explanations", {**body, "messages": messages})
    answer = json.loads(text)
    assert status == 200 and domains_of(answer["before"]) == "pppp"
    assert domains_of(answer["after"]) == "pppp"
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


def test_domains_of_a_request_take_turns_with_the_best_of_each(server):
    each = {name: ids_of(ranked(server, filters={"domain": [name]})) for name in BOTH}
    assert ids_of(ranked(server, domains=["films"])) == each["films"]
    in_turn = [item for pair in zip(each["films"], each["products"], strict=True) for item in pair]
    assert ids_of(ranked(server, domains=["films", "products"])) == in_turn[:6]
    assert domains_of(ranked(server, domains=["products", "films"], k=3)) == "pfp"
    assert ids_of(ranked(server, domains={"films": 1, "products": 2})) == in_turn[:2] + each["products"][1:2]


def test_unknown_domains_are_said_in_one_line(server):
    for path, body in ((RANK, {}), (CHAT, {"messages": [{"role": "user", "content": "anything"}]})):
        status, _, text = server.post(path, {**body, "domains": ["musics"]})
        assert status == 400 and "no item is of 'musics'" in json.loads(text)["error"]["message"]
        assert "films, products" in json.loads(text)["error"]["message"]
    for wrong in ([[]], {"films": -1}, {"films": True}, [None], 3):
        assert server.post(RANK, {"domains": wrong})[0] in (400, 422)


def found(server, **query):
    status, _, body = server.get(f"/v1/items?{urlencode(query)}")
    return status, json.loads(body)


def test_the_catalogue_is_searched_and_listed_by_domain(server):
    for name, letter in (("films", "f"), ("products", "p"), ("Products", "p")):
        status, listed = found(server, domain=name)
        assert status == 200 and listed["total"] == 10 and domains_of(listed["data"]) == letter * 10
        second = found(server, domain=name, limit=3, offset=4)[1]
        assert second["total"] == 10 and second["data"] == listed["data"][4:7]
        some, every = found(server, search="yellow", domain=name)[1], found(server, search="yellow")[1]
        assert ids_of(some["data"]) == [i for i in ids_of(every["data"]) if letters([i]) == letter]
        assert 0 < some["total"] == len(some["data"]) < every["total"]


def test_an_unknown_domain_of_a_search_is_one_line(server):
    for name in ("musics", "", "film"):
        status, answer = found(server, domain=name, search="yellow")
        told = answer["error"]["message"]
        assert status == 400 and told.startswith(f"domain: no item is of {name!r}") and "films" in told
    status, answer = found(server, domain="x" * 1001)
    assert status == 400 and answer["error"]["param"] == "domain" and "longer than" in answer["error"]["message"]


def test_the_page_is_told_the_domains_and_what_their_items_are_called(server):
    about = json.loads(server.get("/page/about.json")[2])
    assert about["domains"] == ["films", "products"]
    assert about["nouns"] == {
        "films": {"one": "film", "many": "films"},
        "products": {"one": "product", "many": "products"},
    }


def test_the_description_of_the_routes_names_the_domains(server):
    paths = json.loads(server.get("/openapi.json")[2])["paths"]
    fields = {field["name"]: field for field in paths["/v1/items"]["get"]["parameters"]}
    assert "joined catalogue" in fields["domain"]["description"] and not fields["domain"]["required"]


def test_questions_about_a_list_in_turn_rank_in_turn(server):
    for domains in (["films", "products"], {"films": 1, "products": 3}):
        listed = ids_of(ranked(server, domains=domains))
        answer = asked(server, "what_if", domains=domains, removed=["103"])
        assert ids_of(answer["before"]) == listed
        assert ids_of(answer["after"]) == ids_of(ranked(server, domains=domains, history=["115"], exclude=["103"]))
        for place, item in enumerate(listed, 1):
            told = asked(server, "why_not", domains=domains, item_id=item)
            assert (told["listed"], told["rank"]) == (True, place)
            assert asked(server, "media", domains=domains, item_id=item)["rank"] == place


def test_why_not_counts_what_its_domain_has_no_place_for(server):
    films = ids_of(ranked(server, domains=["films"]))
    told = asked(server, "why_not", domains={"films": 1, "products": 2}, item_id=films[1])
    assert not told["listed"] and told["rank"] > 6
    long = ids_of(ranked(server, domains=BOTH, k=18))
    for place, item in enumerate(long, 1):
        assert asked(server, "why_not", domains=BOTH, item_id=item)["rank"] == place
    barred = asked(server, "why_not", domains=["products"], item_id=films[0])
    assert "domains" in barred["barred_by"] and not barred["listed"]


def test_questions_about_the_list_of_a_conversation_rank_as_it_did(server):
    for text in ("I want products and films", "a film and 3 products"):
        messages = [{"role": "user", "content": text}]
        listed = said(server, text, history=["103", "115"])["recommendations"]
        fields = {"messages": messages, "k": len(listed)}
        answer = asked(server, "what_if", removed=["103"], **fields)
        assert domains_of(answer["before"]) == domains_of(listed)
        # what a model has heard counts in its own list alone, the history in both
        assert {"f", "p"} == set(domains_of(answer["after"]))
        told = asked(server, "why_not", item_id=answer["before"][-1]["item_id"], **fields)
        assert (told["listed"], told["rank"]) == (True, len(listed))


def test_the_domains_of_a_conversation_hold_until_a_message_asks_for_others(server):
    known = {"history": ["103", "115"], "domains": ["products"]}
    assert domains_of(said(server, "something for tonight", **known)["recommendations"]) == "pppp"
    assert domains_of(said(server, "films please", **known)["recommendations"]) == "ffff"
    assert domains_of(said(server, "films please", "start over", **known)["recommendations"]) == "pppp"
    both = said(server, "something for tonight", history=["103"], domains=BOTH)
    assert domains_of(both["recommendations"]) == "fpfp"
    assert both["understood"] == [] and "Understood" not in both["choices"][0]["message"]["content"]
    assert domains_of(said(server, "something", domains={"films": 1, "products": 3})["recommendations"]) == "fppp"


def weights(server, domains):
    query = {"history": "103,115", "k": 6, "domains": domains}
    status, _, body = server.get(f"/v1/parameters?{urlencode(query)}")
    return status, json.loads(body)


def test_parameters_are_those_of_the_list_of_the_domains(server):
    plain = ids_of(ranked(server))
    for domains in (["films"], ["products"], ["films", "products"]):
        status, told = weights(server, ",".join(domains))
        parts = {part["name"]: part for part in told["data"]}
        listed = ids_of(ranked(server, domains=domains))
        assert status == 200 and parts["domains"]["changed"] == len(set(listed) - set(plain))
        popular = ids_of(ranked(server, domains=domains, without=["history"]))
        assert parts["history"]["changed"] == len(set(listed) - set(popular))
    assert "domains" not in {part["name"] for part in weights(server, "")[1]["data"]}
    status, told = weights(server, "films,musics")
    assert status == 400 and told["error"]["message"].startswith("domains: no item is of 'musics'")


def test_agents_get_lists_of_several_domains_in_turn(server):
    known = {"history": ["103", "115"], "k": 6}
    for domains in (["films", "products"], ["products"], {"films": 1, "products": 3}, []):
        listed = called(server, "recommend", domains=domains, **known)["items"]
        assert ids_of(listed) == ids_of(ranked(server, domains=domains))
        for item in (listed[0], listed[-1]):
            told = called(server, "why_not", item_id=item["item_id"], domains=domains, **known)
            assert told["listed"] and told["rank"] == item["rank"]
    why = called(server, "explain", item_id="110", history=["103"], domains=["products"])
    assert why["justification"] and why["item_id"] == "110"
    for domain, letter in (("films", "f"), ("products", "p")):
        results = called(server, "search", query="yellow", domain=domain)["results"]
        assert set(letters(found["id"] for found in results)) == {letter}


def test_agents_are_told_of_domains_and_of_unknown_ones_in_one_line(server):
    tools = {tool.name: tool for tool in session(server, lambda client: client.list_tools()).tools}
    for name in ("recommend", "explain", "why_not"):
        field = tools[name].input_schema["properties"]["domains"]
        assert "domains whose best items take turns" in field["description"] and len(field["anyOf"]) == 2
        more = {} if name == "recommend" else {"item_id": "110"}
        told = called(server, name, history=["103"], domains=["musics"], **more)
        over_http = json.loads(server.post(RANK, {"history": ["103"], "domains": ["musics"]})[2])["error"]["message"]
        assert told.endswith(over_http) and over_http.startswith("domains: no item is of 'musics'")
        for wrong in ({"films": -1}, {"films": True}, [None], 3):
            assert "domains" in called(server, name, history=["103"], domains=wrong, **more)
    why = {"kind": "why", "history": ["103"], "item_id": "110", "domains": ["musics"]}
    assert server.post(WHY, why)[0] == 400
    assert "domain: no item is of 'musics'" in called(server, "search", query="yellow", domain="musics")
