"""Reading bodies: what is JSON, what is too large, and that nothing else is changed."""

from __future__ import annotations

import asyncio
import json

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from recommender.server import http_errors
from recommender.server.http_errors import HttpError
from recommender.server.request_body import MOST_ENTRIES, BodyLimits, json_route, parse_json

TEXT = st.text(st.characters(exclude_categories=["Cs"], min_codepoint=32)).filter(lambda text: "\x7f" not in text)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
JSON = {"Content-Type": "application/json"}
CONTROL = [chr(code) for code in (*range(9), 11, 12, *range(14, 32), 127, 0xD800, 0xDFFF)]


@given(VALUES)
def test_json_comes_back_as_it_was(value):
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize("text", ["\t", "\n", "\r", "é", "\u2028", "😀", "\ue000"])
def test_white_space_and_other_alphabets_are_no_control_characters(text):
    assert parse_json(json.dumps({"query": text}).encode()) == {"query": text}


@pytest.mark.parametrize("character", CONTROL, ids=lambda character: f"U+{ord(character):04X}")
def test_control_characters_are_refused_wherever_they_stand(character):
    for value, field in (
        (character, None),
        ({"a": {"b": ["x", f"y{character}"]}}, "a.b.1"),
        ({"a": {character: 1}}, "a"),
        ([[f"{character}x"]], "0.0"),
    ):
        with pytest.raises(HttpError) as refused:
            parse_json(json.dumps(value).encode())
        assert refused.value.status_code == 400 and refused.value.param == field
        assert f"U+{ord(character):04X}" in refused.value.detail


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"NaN", b'{"a": Infinity}', b"[-Infinity]", b"{} {}", b"\xff\xfe\xfd", b"[" * 100_000, b"{'a': 1}"],
)
def test_what_is_no_json_is_refused(raw):
    with pytest.raises(HttpError, match="not valid JSON") as refused:
        parse_json(raw)
    assert refused.value.status_code == 400 and refused.value.code == "invalid_json"


@pytest.fixture(scope="module")
def client():
    app = FastAPI()
    app.router.route_class = json_route()
    http_errors.install(app)
    app.add_middleware(BodyLimits, limit=100, seconds=5)

    @app.post("/echo")
    async def echo(body: dict) -> dict:
        return body

    @app.get("/nothing")
    async def nothing() -> str:
        return "here"

    return TestClient(app)


def chunks(*sizes):
    """Yield a body in chunks, so that no Content-Length is sent."""
    for size in sizes:
        yield b" " * size


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/ld+json"])
def test_a_body_that_says_that_it_is_json_is_read(client, kind):
    assert client.post("/echo", content=b'{"a": [1]}', headers={"Content-Type": kind}).json() == {"a": [1]}


@pytest.mark.parametrize(
    "kind", [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp"]
)
def test_what_any_page_may_send_is_not_read(client, kind):
    answer = client.post("/echo", content=b'{"a": [1]}', headers={} if kind is None else {"Content-Type": kind})
    assert answer.status_code == 415 and answer.json()["error"]["code"] == "unsupported_media_type"


@pytest.mark.parametrize("depth", [150, 900, 990])
@pytest.mark.parametrize(("opened", "closed"), ["[]", ('{"a":', "}")])
def test_what_is_nested_too_deep_is_refused_at_every_depth(depth, opened, closed):
    with pytest.raises(HttpError) as refused:
        parse_json((opened * depth + "1" + closed * depth).encode())
    assert refused.value.status_code == 400 and refused.value.code == "invalid_json"


def test_more_values_than_any_request_needs_are_refused_before_they_are_read():
    with pytest.raises(HttpError, match="values") as refused:
        parse_json(b"[" + b"1," * 300_000 + b"1]")
    assert refused.value.status_code == 400


@pytest.mark.parametrize("field", ["history", "exclude", "only", "boosts", "filters.genre", "vectors.1.image"])
def test_lists_and_objects_have_a_longest_length(field):
    def body(count):
        value = {str(i): i for i in range(count)} if field == "boosts" else list(range(count))
        for key in reversed(field.split(".")):
            value = {key: value}
        return json.dumps(value).encode()

    assert parse_json(body(3), 3)
    with pytest.raises(HttpError, match=f"{field}: more than 3 items") as refused:
        parse_json(body(4), 3)
    assert refused.value.status_code == 400 and refused.value.param == field and refused.value.code == "too_long"


@pytest.mark.parametrize(("history", "longest"), [(3, MOST_ENTRIES), (MOST_ENTRIES + 5, MOST_ENTRIES + 5)])
def test_a_small_limit_of_histories_is_none_of_vectors_and_a_large_one_holds(history, longest):
    assert json_route(history).longest == longest
    assert parse_json(json.dumps({"history": ["1"] * longest}).encode(), json_route(history).longest)


def test_bodies_within_the_limit_pass(client):
    longest = b'{"a": "%s"}' % (b"x" * 91)
    assert len(longest) == 100
    assert client.post("/echo", content=longest, headers=JSON).status_code == 200
    assert client.post("/echo", content=iter([longest[:50], longest[50:]]), headers=JSON).status_code == 200
    assert client.get("/nothing").json() == "here"


@pytest.mark.parametrize("content", [b" " * 101, chunks(60, 41), chunks(101)], ids=["declared", "chunks", "one chunk"])
def test_larger_bodies_are_refused(client, content):
    answer = client.post("/echo", content=content, headers=JSON)
    assert answer.status_code == 413 and answer.json()["error"]["code"] == "body_too_large"
    assert "100 bytes" in answer.json()["error"]["message"]


def test_a_declared_length_is_refused_without_reading():
    async def unreadable():
        raise AssertionError("the body was read")

    sent = []

    async def send(message):
        sent.append(message)

    limited = BodyLimits(unreadable, limit=10, seconds=5)
    scope = {"type": "http", "headers": [(b"content-length", b"11")]}
    asyncio.run(limited(scope, unreadable, send))
    assert sent[0]["status"] == 413


def test_other_protocols_pass_untouched():
    scopes = []

    async def app(scope, receive, send):
        scopes.append((scope, receive, send))

    asyncio.run(BodyLimits(app, limit=1, seconds=5)({"type": "lifespan"}, "receive", "send"))
    assert scopes == [({"type": "lifespan"}, "receive", "send")]
