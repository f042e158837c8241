"""Who may ask: no route answers without a key that counts, a person's token reaches that person alone, rates hold."""

from __future__ import annotations

import json
import random
import time

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.testclient import TestClient

from recommender.config import ServingConfig, TokensConfig
from recommender.engine import Recommender
from recommender.errors import ConfigError
from recommender.server.access import Gate, is_open_path, needed
from recommender.server.app import create_app
from recommender.server.guarding import is_local, open_store
from recommender.server.tokens import TokenCheck
from recommender.store.database import StoreUnavailableError
from recommender.store.keys import SCOPES
from recommender.store.master_keys import new_master_key

ISSUER, AUDIENCE = "https://id.example.com", "recommender"
LIST = {"history": ["101", "103"], "k": 2}


@pytest.fixture
def engine(make_checkpoint):
    return Recommender(make_checkpoint())


@pytest.fixture
def identity(tmp_path):
    """An identity provider: its config, and what signs a token for somebody."""
    key = RSAKey.generate_key(2048, parameters={"kid": "one"})
    (tmp_path / "jwks.json").write_text(json.dumps(KeySet([key]).as_dict(private=False)))

    def token(user="ann", signed_with=key, **claims):
        now = int(time.time())
        told = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user,
            "exp": now + 60,
            "scope": "recommend feedback explain events",
        }
        kid = {"alg": "RS256", "kid": "one"}
        return jwt.encode(kid, {n: v for n, v in (told | claims).items() if v is not None}, signed_with)

    return TokensConfig(issuer=ISSUER, audience=AUDIENCE, keys=str(tmp_path / "jwks.json")), token


@pytest.fixture
def client(engine, store):
    def made(limits=None, local=False, kept=store):
        app = create_app(engine, "tiny", limits or ServingConfig(allowed_hosts=("testserver",)), kept, local)
        return TestClient(app)

    return made


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def routes(app):
    found = [(route.path, method) for route in app.routes for method in getattr(route, "methods", None) or ("POST",)]
    return [(path.replace("{item_id:path}", "101").replace("{model:path}", "tiny"), method) for path, method in found]


def test_no_route_answers_without_a_key_that_counts(client, store):
    one = client()
    _, weak = store.keys.add("weak", ["feedback"])
    expired, old = store.keys.add("old", SCOPES, days=1e-9)
    _, gone = store.keys.add("gone", SCOPES)
    store.keys.revoke("gone")
    strangers = [None, "", "x", f"{weak}x", old, gone, "rk_000000000000_" + "a" * 43, "a.b.c"]
    closed = [(path, method) for path, method in routes(one.app) if not is_open_path(path, method)]
    assert len(closed) >= 14 and {path for path, _ in closed} >= {
        "/metrics",
        "/docs",
        "/openapi.json",
        "/mcp",
        "/readyz",
    }
    draw, asked = random.Random(0), 0
    while asked < 300:
        path, method = draw.choice(closed)
        token = draw.choice(strangers)
        answer = one.request(
            method, path, json=LIST, headers={} if token is None else {"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer", (path, method, token)
        asked += 1
    for path, method in closed:
        if needed(path, method) != ("feedback",):
            assert one.request(method, path, json=LIST, headers=bearer(weak)).status_code == 403, path
    for headers in ({"Authorization": f"Basic {weak}"}, {"Authorization": weak}):
        assert one.post("/v1/recommendations", json=LIST, headers=headers).json()["error"]["code"] == "no_key"
    assert one.get("/healthz").status_code == one.get("/").status_code == 200


def test_a_key_does_what_its_scopes_say_until_it_is_revoked(client, store):
    one, (key, token) = client(), store.keys.add("shop", ["recommend"])
    assert len(one.post("/v1/recommendations", json=LIST, headers=bearer(token)).json()["items"]) == 2
    refused = one.post(
        "/v1/feedback", json={"item_id": "101", "opinion": "helpful", "user": "a"}, headers=bearer(token)
    )
    assert refused.status_code == 403 and "scope feedback" in refused.json()["error"]["message"]
    store.keys.revoke(key.prefix)
    assert one.post("/v1/recommendations", json=LIST, headers=bearer(token)).json()["error"]["code"] == "revoked_key"


def test_a_local_server_without_keys_is_open_and_closes_with_the_first_key(client, store):
    one = client(local=True)
    assert one.post("/v1/recommendations", json=LIST).status_code == 200
    store.keys.add("first", ["recommend"])
    assert one.post("/v1/recommendations", json=LIST).status_code == 401


def test_a_store_that_is_away_lets_nobody_in_and_says_come_again(client, store, monkeypatch):
    one, (_, token) = client(), store.keys.add("shop", ["recommend"])

    def away(*_):
        raise StoreUnavailableError("the store cannot be used at the moment: locked", "try again later")

    monkeypatch.setattr(store.keys, "find", away)
    answer = one.post("/v1/recommendations", json=LIST, headers=bearer(token))
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "storage_unavailable"
    assert answer.headers["retry-after"] and "locked" not in answer.text


def test_a_rate_is_held_for_each_caller(client, store):
    one = client()
    _, slow = store.keys.add("slow", ["recommend"], rate=3)
    _, other = store.keys.add("other", ["recommend"])
    codes = [one.get("/v1/models", headers=bearer(slow)).status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429] and one.get("/v1/models", headers=bearer(other)).status_code == 200


def test_a_persons_token_reaches_that_person_alone(client, store, identity):
    config, token = identity
    one = client(ServingConfig(tokens=config, allowed_hosts=("testserver",)))
    ann = bearer(token("ann"))
    event = {"id": "1", "user": "ann", "item": "101", "kind": "like"}
    assert one.post("/v1/events", json={"events": [event]}, headers=ann).json()["outcome"] == {"1": "kept"}
    foreign = [
        one.post("/v1/events", json={"events": [event | {"id": "2", "user": "bob"}]}, headers=ann),
        one.post("/v1/recommendations", json=LIST | {"user": "bob"}, headers=ann),
        one.post("/v1/feedback", json={"item_id": "101", "opinion": "not for me", "user": "bob"}, headers=ann),
        one.get("/v1/consent", params={"user": "bob"}, headers=ann),
        one.post("/v1/consent", json={"user": "bob", "consent": {"train": False}}, headers=ann),
    ]
    assert [answer.status_code for answer in foreign] == [403] * 5 and store.events.of("bob") == []
    assert one.get("/v1/consent", headers=ann).json()["user"] == "ann"
    assert one.post("/mcp", json={}, headers=ann).status_code == 403
    kept = one.post("/v1/feedback", json={"item_id": "105", "opinion": "not for me"}, headers=ann)
    assert kept.status_code == 200 and store.feedback.refused_items("ann") == {"105"}


def test_tokens_that_do_not_count(client, identity):
    config, token = identity
    one = client(ServingConfig(tokens=config, allowed_hosts=("testserver",)))
    other = RSAKey.generate_key(2048, parameters={"kid": "one"})
    wrong = {
        "unknown_key": [
            token(iss="https://evil.example.com"),
            token(aud="another"),
            token(signed_with=other),
            token(exp=None),
            token(sub=None),
            token(sub=""),
            token()[:-4] + "AAAA",
            "a.b.c",
        ],
        "expired_key": [token(exp=int(time.time()) - 3600)],
    }
    for code, tokens in wrong.items():
        for each in tokens:
            answer = one.post("/v1/recommendations", json=LIST, headers=bearer(each))
            assert answer.status_code == 401 and answer.json()["error"]["code"] == code, each
    weak = one.post("/v1/recommendations", json=LIST, headers=bearer(token(scope="feedback")))
    assert weak.status_code == 403
    assert (
        one.post("/v1/recommendations", json=LIST, headers=bearer(token(scope=["recommender:recommend"]))).status_code
        == 200
    )


def test_a_provider_may_change_its_keys(identity, tmp_path, monkeypatch):
    config, token = identity
    check = TokenCheck(config)
    new = RSAKey.generate_key(2048, parameters={"kid": "one"})
    (tmp_path / "jwks.json").write_text(json.dumps(KeySet([new]).as_dict(private=False)))
    monkeypatch.setattr("recommender.server.tokens._PATIENCE", 0.0)
    assert check.subject(token(signed_with=new)).user == "ann"


def test_a_provider_without_usable_keys_is_one_line(tmp_path, identity):
    config, _ = identity
    (tmp_path / "secret.json").write_text('{"keys": [{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}]}')
    for keys, match in (("none.json", "cannot be read"), ("secret.json", "secret key")):
        with pytest.raises(ConfigError, match=match):
            TokenCheck(config.model_copy(update={"keys": str(tmp_path / keys)}))


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.1.2.3", True), ("0.0.0.0", False), ("::", False)]
    + [("10.0.0.1", False), ("rec.example.com", False), ("", False)],
)
def test_only_loopback_is_local(host, local):
    assert is_local(host) == local


def test_a_server_that_others_reach_needs_keys(tmp_path, identity):
    new_master_key(tmp_path / "master", "a")
    kept = {"store": str(tmp_path / "s.db"), "master_key": str(tmp_path / "master")}
    for limits in (ServingConfig(host="0.0.0.0"), ServingConfig(host="0.0.0.0", **kept)):
        with pytest.raises(ConfigError, match="no keys to ask for"):
            open_store(limits)
    assert open_store(ServingConfig(host="0.0.0.0", insecure=True)) is None
    assert open_store(ServingConfig(host="0.0.0.0", tokens=identity[0])) is None
    store = open_store(ServingConfig(**kept))
    store.keys.add("one", ["recommend"])
    store.close()
    open_store(ServingConfig(host="0.0.0.0", **kept)).close()


def test_a_check_takes_less_than_a_fifth_of_a_millisecond(store):
    from starlette.datastructures import Headers

    _, token = store.keys.add("one", ["recommend"])
    gate, headers = Gate(store.keys), Headers(bearer(token))
    gate.caller(headers)
    start = time.process_time()
    for _ in range(500):
        gate.caller(headers)
    assert (time.process_time() - start) / 500 < 0.2e-3
