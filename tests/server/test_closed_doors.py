"""Ten thousand requests of strangers over every route that the application has: none is answered.

The routes are those of the application itself, so a new one is asked for too; which are open to everybody is written here.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import random
import re
import socket
import time
from collections import Counter

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from recommender.config import ServingConfig, TokensConfig
from recommender.engine import Recommender
from recommender.server.access import needed
from recommender.server.app import create_app
from recommender.store.keys import SCOPES
from recommender.store.master_keys import new_master_key
from recommender.store.store import Store
from tests.server.http_server import Server

REQUESTS = 10_000
#: what everybody may read: whether the process lives, and the files of the page
OPEN = re.compile(r"/|/healthz|/favicon\.ico|/page/.*")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
BODY = json.dumps({"history": ["101", "103"], "k": 2}).encode()


@pytest.fixture
def engine(make_checkpoint):
    return Recommender(make_checkpoint())


@pytest.fixture
def identity(tmp_path):
    """An identity provider's config, and what signs tokens."""
    key = RSAKey.generate_key(2048, parameters={"kid": "one"})
    (tmp_path / "jwks.json").write_text(json.dumps(KeySet([key]).as_dict(private=False)))
    config = TokensConfig(issuer="https://id", audience="recommender", keys=str(tmp_path / "jwks.json"))

    def token(signed_with=key, **claims):
        now = int(time.time())
        told = {"iss": "https://id", "aud": "recommender", "sub": "ann", "exp": now + 600, "scope": " ".join(SCOPES)}
        return jwt.encode({"alg": "RS256", "kid": "one"}, told | claims, signed_with)

    return config, token


@pytest.fixture
def strangers(store, tmp_path, identity):
    """What callers send who may do nothing here: the value of Authorization, None for none."""
    _, good = store.keys.add("good", SCOPES)
    _, expired = store.keys.add("expired", SCOPES, days=1e-9)
    _, revoked = store.keys.add("revoked", SCOPES)
    store.keys.revoke("revoked")
    new_master_key(tmp_path / "other.master", "b")
    other = Store.open(tmp_path / "other.db", tmp_path / "other.master")
    _, foreign = other.keys.add("theirs", SCOPES)
    other.let_go()
    _, token = identity
    another = RSAKey.generate_key(2048, parameters={"kid": "one"})
    tokens = [
        "",
        "x",
        "null",
        "a.b.c",
        expired,
        revoked,
        foreign,
        good[:-1],
        good + "A",
        good[:-1] + ("A" if good[-1] != "A" else "B"),
    ]
    tokens += [good.upper(), good.replace("rk_", "sk_"), "rk_" + "0" * 12 + good[15:], good[:16] + "a" * 43]
    tokens += [token(signed_with=another), token(exp=int(time.time()) - 3600), token(iss="https://evil")]
    tokens += [token(aud="another"), token(sub=""), token()[:-6] + "AAAAAA", ".".join([*token().split(".")[:2], ""])]
    sent = [f"Bearer {one}" for one in tokens] + [
        f"Basic {good}",
        good,
        f"Bearer{good}",
        f"Token {good}",
        "Bearer",
        None,
    ]
    return good, sent


def paths_of(routes, before=""):
    """Yield every path that an application routes, parts of others that are mounted in it among them."""
    for route in routes:
        path = before + getattr(route, "path", "")
        inner = getattr(route, "routes", None) or getattr(getattr(route, "app", None), "routes", None)
        if inner:
            yield from paths_of(inner, path)
        yield re.sub(r"\{[^}]*\}", "101", path)


def asked(app, path, method, authorization):
    """Return the status and the body of one request, without a socket."""
    headers = [(b"host", b"testserver"), (b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
    if authorization is not None:
        headers.append((b"authorization", authorization.encode()))
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http"}
    scope |= {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers}
    scope |= {"client": ("203.0.113.7", 1), "server": ("testserver", 80)}
    sent = []

    async def receive():
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message):
        sent.append(message)

    async def ask():
        await app(scope, receive, send)
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)

    return ask()


def refused(status, body, method):
    return status in (401, 403) and (method == "HEAD" or b'"error"' in body) and b'"items"' not in body


def test_ten_thousand_strangers_get_no_answer(engine, store, identity, strangers):
    limits = ServingConfig(tokens=identity[0], allowed_hosts=("testserver",))
    app, (good, sent) = create_app(engine, "tiny", limits, store, local=False), strangers
    paths = sorted(
        {path for path in paths_of(app.routes) if path} | {"/v2/unknown", "/v1/../docs", "//v1/models", "/V1/models"}
    )
    closed = [(p, m) for p in paths for m in METHODS if not (OPEN.fullmatch(p) and m in ("GET", "HEAD"))]
    assert {p for p, _ in closed} >= {"/metrics", "/docs", "/openapi.json", "/mcp", "/readyz", "/v1/recommendations"}
    weak = {scope: store.keys.add(f"only {scope}", [scope])[1] for scope in SCOPES}
    draw = random.Random(23)
    tries = [(path, method, one) for path, method in closed for one in sent]  # every stranger at every door
    for path, method in closed:  # a key that counts, but not for this
        tries += [(path, method, f"Bearer {key}") for s, key in weak.items() if (*needed(path, method),) != (s,)]
    tries += [(*draw.choice(closed), draw.choice(sent)) for _ in range(REQUESTS - len(tries))]
    draw.shuffle(tries)

    async def all_of_them():
        found, answered = Counter(), []
        for path, method, one in tries:
            status, body = await asked(app, path, method, one)
            found[status] += 1
            if not refused(status, body, method):
                answered.append((path, method, one, status))
        # the same door opens to the right key: it was not shut for another reason
        opened = await asked(app, "/v1/models", "GET", f"Bearer {good}")
        return found, answered, opened

    found, answered, opened = asyncio.run(all_of_them())
    assert not answered, answered[:5]
    assert sum(found.values()) >= REQUESTS and set(found) == {401, 403}
    assert opened[0] == 200 and b'"tiny"' in opened[1], opened
    assert {row.kind for row in store.audit.last(1000)} == {"key"}, "nothing was done for them"


def test_strangers_on_a_socket_get_no_answer_either(engine, store, identity, strangers):
    server = Server(engine, store, local=False, tokens=identity[0])
    try:
        draw, (_, sent) = random.Random(7), strangers
        paths = sorted({path for path in paths_of(server.app.routes) if path and not OPEN.fullmatch(path)})
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(200):
            path, method, one = draw.choice(paths), draw.choice(("GET", "HEAD", "POST", "DELETE")), draw.choice(sent)
            headers = {"Content-Type": "application/json"} | ({} if one is None else {"Authorization": one})
            connection.request(method, path, BODY, headers)
            answer = connection.getresponse()
            assert refused(answer.status, answer.read(), method), (path, method, one, answer.status)
        connection.close()
    finally:
        server.close()
