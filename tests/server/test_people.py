"""People at a server: what they agreed to is honoured, what they did makes their lists, and what is done is in the log."""

from __future__ import annotations

import json

import pytest
from starlette.testclient import TestClient

from recommender.config import PURPOSES, ServingConfig
from recommender.engine import Recommender
from recommender.server.app import create_app
from recommender.server.people import NOT_EXPLAINED, NOT_PERSONAL
from recommender.store.database import writing

USER = "ann.personal@example.com"


@pytest.fixture
def engine(make_checkpoint):
    return Recommender(make_checkpoint())


@pytest.fixture
def client(engine, store):
    yield TestClient(create_app(engine, "tiny", ServingConfig(allowed_hosts=("testserver",)), store))
    engine.feedback_policy.store = None


def ranked(client, **fields):
    answer = client.post("/v1/recommendations", json={"k": 3, **fields})
    assert answer.status_code == 200, answer.text
    return [item["item_id"] for item in answer.json()["items"]], answer.json()["notes"]


def test_the_events_of_a_person_are_their_history(client, store):
    events = [
        {"id": str(n), "user": USER, "item": item, "kind": kind, "time": n}
        for n, (item, kind) in enumerate(
            [("101", "like"), ("103", "view"), ("107", "like"), ("107", "hide"), ("zz", "like"), ("101", "play")]
        )
    ]
    assert set(client.post("/v1/events", json={"events": events}).json()["outcome"].values()) == {"kept"}
    assert ranked(client, user=USER)[0] == ranked(client, history=["103", "101"])[0]
    assert ranked(client, user="bob")[0] == ranked(client)[0]


def test_what_somebody_does_not_agree_to_is_not_done(client):
    nobody = ranked(client)[0]
    for purpose, note in (("recommend", NOT_PERSONAL), ("explain", NOT_EXPLAINED)):
        client.post("/v1/consent", json={"user": USER, "consent": {purpose: False}})
        items, notes = ranked(client, user=USER, history=["101", "103"], explain=True)
        assert note in notes and (purpose == "explain" or set(items) == set(nobody) - {"101", "103"} or items)
    answer = client.post("/v1/recommendations", json={"k": 3, "user": USER, "history": ["101"], "explain": True}).json()
    assert all(item["justification"] is None for item in answer["items"])
    chat = {"messages": [{"role": "user", "content": "a comedy"}], "user": USER}
    assert NOT_PERSONAL in client.post("/v1/chat/completions", json=chat).json()["notes"]
    client.post("/v1/consent", json={"user": USER, "consent": dict.fromkeys(PURPOSES, True)})
    assert ranked(client, user=USER, history=["101", "103"])[1] == []


def test_everything_that_is_done_is_in_the_log_and_names_nobody(client, store, engine):
    ranked(client, user=USER, history=["101"], explain=True)
    ranked(client, history=["101"])
    with client.stream(
        "POST", "/v1/recommendations", json={"k": 2, "user": USER, "stream": True, "explain": True}
    ) as answer:
        list(answer.iter_lines())
    client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "a comedy"}], "user": USER})
    client.post("/v1/feedback", json={"item_id": "101", "opinion": "not for me", "user": USER})
    client.post("/v1/consent", json={"user": USER, "consent": {"share": True}})
    assert store.audit.verify().ok
    with writing(store.engine) as connection:
        rows = connection.exec_driver_sql("SELECT kind, body FROM audit ORDER BY number").all()
        tag = store.people.tag(connection, store.people.pseudonym(USER))
    assert [kind for kind, _ in rows] == ["list", "list", "list", "justified", "list", "feedback", "consent"]
    bodies = [json.loads(body) for _, body in rows]
    assert [body.get("person") for body in bodies] == [tag, None, tag, tag, tag, tag, None]
    assert bodies[0]["verdicts"] and all(each["false"] == 0 for each in bodies[0]["verdicts"])
    assert isinstance(bodies[1]["items"], list) and isinstance(bodies[0]["items"], str)
    assert all(USER not in body for _, body in rows) and store.people.pseudonym(USER) not in str(rows)


def test_a_server_that_keeps_nothing_says_so(engine):
    client = TestClient(create_app(engine, "tiny", ServingConfig(allowed_hosts=("testserver",))))
    event = {"id": "1", "user": "a", "item": "101", "kind": "like"}
    for answer in (
        client.post("/v1/events", json={"events": [event]}),
        client.get("/v1/consent", params={"user": "a"}),
    ):
        assert answer.status_code == 409 and answer.json()["error"]["code"] == "no_store"


def test_events_that_are_none_are_refused_whole(client, store):
    good = {"id": "1", "user": "a", "item": "101", "kind": "like"}
    for wrong in ({"kind": "love"}, {"time": -1}, {"rank": 0}, {"id": ""}, {"user": ""}, {"more": 1}, {"value": "x"}):
        answer = client.post("/v1/events", json={"events": [good, good | {"id": "2"} | wrong]})
        assert answer.status_code == 400, wrong
    assert store.events.count() == 0
