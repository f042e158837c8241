"""People at a server: what they agreed to is honoured, what they did makes their lists, and what is done is in the log."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from recommender.config import PURPOSES, ServingConfig
from recommender.engine import Recommender
from recommender.server.app import create_app
from recommender.server.http_errors import HttpError
from recommender.server.mcp_tools import _Tools
from recommender.server.people import NOT_EXPLAINED, NOT_PERSONAL
from recommender.server.service import Service
from recommender.store.database import writing
from recommender.store.forgetting import AlreadyForgottenError, forget

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
    spoken = {"messages": [{"role": "user", "content": "a comedy"}], "user": USER, "stream": True, "explain": True}
    with client.stream("POST", "/v1/chat/completions", json=spoken) as answer:
        list(answer.iter_lines())
    asked = {"kind": "why", "item_id": "102", "history": ["101"], "user": USER}
    assert client.post("/v1/explanations", json=asked).status_code == 200
    assert store.audit.verify().ok
    with writing(store.engine) as connection:
        rows = connection.exec_driver_sql("SELECT kind, body FROM audit ORDER BY number").all()
        tag = store.people.tag(connection, store.people.pseudonym(USER))
    assert [kind for kind, _ in rows] == [
        *("list", "list", "list", "justified", "list", "feedback", "consent"),
        *("list", "justified", "explained"),
    ]
    bodies = [json.loads(body) for _, body in rows]
    assert [body.get("person") for body in bodies] == [tag, None, tag, tag, tag, tag, None, tag, tag, tag]
    assert bodies[0]["verdicts"] and all(each["false"] == 0 for each in bodies[0]["verdicts"])
    assert bodies[-2]["verdicts"] and len(bodies[-1]["verdicts"]) == 1
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


def test_without_consent_there_is_no_explanation_on_any_route(client):
    asked = {"kind": "why", "item_id": "110", "history": ["101", "103"], "user": USER}
    assert client.post("/v1/explanations", json=asked).json()["generated"] is True
    client.post("/v1/consent", json={"user": USER, "consent": {"explain": False}})
    for more in ({}, {"explain": False}, {"kind": "why_not"}, {"kind": "what_if", "removed": ["101"]}):
        answer = client.post("/v1/explanations", json=asked | more)
        assert answer.status_code == 403 and answer.json()["error"]["code"] == "no_consent", answer.text
    assert client.post("/v1/explanations", json=asked | {"user": "bob"}).status_code == 200


def test_agents_reach_no_more_than_a_person_agreed_to(engine, store):
    tools = _Tools(Service(engine, "tiny", ServingConfig(), store))
    pipe = SimpleNamespace(request_context=SimpleNamespace(request=None))

    async def asked():
        told = await tools.explain("110", pipe, history=["101"], user=USER)
        assert told.justification
        personal = await tools.recommend(pipe, history=["101", "103"], k=3, user=USER, explain=True)
        store.consents.set(USER, {"explain": False, "recommend": False})
        plain = await tools.recommend(pipe, history=["101", "103"], k=3, user=USER, explain=True)
        with pytest.raises(HttpError, match="does not agree to explanations"):
            await tools.explain("110", pipe, history=["101"], user=USER)
        with pytest.raises(HttpError, match="does not agree to explanations"):
            await tools.why_not("110", history=["101"], user=USER)
        return personal, plain

    personal, plain = asyncio.run(asked())
    engine.feedback_policy.store = None
    assert all(item.justification for item in personal.items) and personal.notes == []
    assert all(item.justification is None for item in plain.items)
    assert plain.notes[:2] == [NOT_PERSONAL, NOT_EXPLAINED]
    with store.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT kind, body FROM audit ORDER BY number").all()
    told = [(kind, json.loads(body)) for kind, body in rows if kind in ("explained", "list")]
    assert [kind for kind, _ in told] == ["explained", "list", "list"]
    assert all(body["caller"] == "caller stdio" for _, body in told)
    assert [len(body["verdicts"]) for _, body in told] == [1, 3, 0]


def test_who_is_forgotten_asks_at_that_moment_and_nothing_is_kept_of_it(client, store, engine):
    client.post("/v1/events", json={"events": [{"id": "1", "user": USER, "item": "101", "kind": "like"}]})
    people, prepared = store.consents, store.consents.of

    def forgotten_meanwhile(user):
        agreed = prepared(user)  # what was true when they asked
        if user == USER and store.events.of(USER):
            forget(store, USER)
        return agreed

    people.of = forgotten_meanwhile
    items, _ = ranked(client, user=USER)
    people.of = prepared
    assert len(items) == 3 and store.events.of(USER) == []
    kinds = [(row.kind, json.loads(row.body).get("person")) for row in store.audit.last(2)]
    assert kinds[0] == ("list", None) and kinds[1][0] == "forget"
    with pytest.raises(AlreadyForgottenError, match="forgotten already"):
        forget(store, USER)
    answer = client.post("/v1/feedback", json={"item_id": "101", "opinion": "not for me", "user": USER})
    assert 400 <= answer.status_code < 500 and "forgotten" in answer.json()["error"]["message"]
    assert store.audit.verify().ok
