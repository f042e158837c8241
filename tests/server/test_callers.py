"""Who may ask: this machine's names and addresses, its own pages, and nobody's votes twice."""

from __future__ import annotations

import json
import socket
import urllib.request

import pytest
from starlette.requests import HTTPConnection

from recommender.server.callers import caller_name
from tests.server.http_server import CHAT, FEEDBACK, RANK, running

BODY = {"k": 2}


@pytest.fixture(scope="module")
def named(embedded):
    with running(
        embedded, allowed_hosts=("rec.example.com", "*.inside"), allowed_origins=("https://shop.example.com",)
    ) as server:
        yield server


def status(server, path=RANK, body=BODY, **headers):
    return server.post(path, body, **{name.replace("_", "-"): value for name, value in headers.items()})[0]


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1", "[::1]:80", "192.168.1.7:8000", "LOCALHOST"]
)
def test_this_machines_names_and_addresses_are_answered(embedded_server, host):
    assert status(embedded_server, Host=host) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "", "[", "a b"]
)
def test_a_name_that_is_made_to_point_here_is_not(embedded_server, host):
    refused = embedded_server.post(RANK, BODY, Host=host)
    assert refused[0] == 400 and json.loads(refused[2])["error"]["code"] == "host_not_allowed"
    assert embedded_server.get("/healthz", Host=host)[0] == 400


def test_names_that_are_allowed_are_answered(named):
    assert status(named, Host="rec.example.com") == status(named, Host="a.inside:80") == 200
    assert status(named, Host="inside") == status(named, Host="notrec.example.com") == 400


@pytest.mark.parametrize("path", [RANK, CHAT, FEEDBACK])
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:3000", "http://127.0.0.1", "x"])
def test_pages_of_other_origins_may_not_ask(embedded_server, origin, path):
    refused = embedded_server.post(path, BODY, Origin=origin)
    assert refused[0] == 403 and json.loads(refused[2])["error"]["code"] == "origin_not_allowed"


def test_what_a_page_elsewhere_can_send_without_asking_is_refused_whatever_it_leaves_out(embedded_server):
    simple = embedded_server.post(RANK, BODY, content_type="text/plain")
    assert simple[0] == 415
    assert status(embedded_server, Sec_Fetch_Site="cross-site") == 403
    assert status(embedded_server, Sec_Fetch_Site="same-origin") == 200


def test_own_pages_and_allowed_ones_may_ask_and_read(named, embedded_server):
    own = f"http://127.0.0.1:{embedded_server.port}"
    assert status(embedded_server, Origin=own) == 200
    assert status(named, Origin="https://rec.example.com", Host="rec.example.com") == 200
    code, headers, _ = named.post(RANK, BODY, Origin="https://shop.example.com")
    assert code == 200 and headers["Access-Control-Allow-Origin"] == "https://shop.example.com"
    asked = {"Origin": "https://shop.example.com", "Access-Control-Request-Method": "POST"}
    asked |= {"Access-Control-Request-Headers": "content-type"}
    before = urllib.request.Request(named.url + RANK, headers=asked, method="OPTIONS")
    assert named.read(before)[0] == 200


def test_one_vote_per_caller_whoever_they_say_that_they_are(embedded, catalogue, tmp_path, monkeypatch):
    monkeypatch.setattr(embedded.feedback_policy, "votes", 2)
    item = catalogue[0]
    genre = item.attributes["genres"][0]
    body = {"item_id": item.item_id, "opinion": "wrong", "facts": [["genres", genre]]}
    try:
        with running(embedded, feedback=str(tmp_path / "feedback.jsonl")) as server:
            for user in ("ann", "bob", "cid", None):
                answer = server.post(FEEDBACK, body | {"user": user}, **{"X-Forwarded-For": f"10.0.0.{user}"})
                assert answer[0] == 200 and json.loads(answer[2])["user"] == user
            assert not embedded.feedback_policy.store.wrong_facts(2)
            assert embedded.feedback_policy.store.wrong_facts(1)
    finally:
        embedded.feedback_policy.store = None


def test_a_household_is_one_caller():
    def name(host):
        return caller_name(HTTPConnection({"type": "http", "client": (host, 1) if host else None}))

    assert name("2001:db8::1") == name("2001:db8::ffff:2") != name("2001:db8:0:1::1")
    assert name("10.0.0.1") != name("10.0.0.2") and name(None)


@pytest.mark.parametrize(
    "host", ["[localhost].evil.com", "[::1].evil.com", "localhost:80@evil.com", "localhost:x", "", "localhost/evil"]
)
def test_what_only_begins_like_a_host_of_ours_is_refused(embedded_server, host):
    request = f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", embedded_server.port)) as client:
        client.sendall(request.encode())
        assert b" 400 " in client.recv(100)


def test_health_may_be_asked_for_its_head(embedded_server):
    for path in ("/healthz", "/readyz"):
        with socket.create_connection(("127.0.0.1", embedded_server.port)) as client:
            client.sendall(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            assert b" 200 " in client.recv(100)
