"""The application as a whole: what it refuses and how, what it measures, what it says of itself."""

import json
import urllib.error

import pytest

from tests.server.http_server import CHAT, FEEDBACK, RANK

BAD = {
    "malformed": (RANK, b'{"k": 3', 400),
    "empty": (RANK, b"", 400),
    "no object": (RANK, b"[1, 2]", 400),
    "no JSON number": (RANK, b'{"k": NaN}', 400),
    "deep": (RANK, b"[" * 100_000, 400),
    "wrong type": (RANK, {"history": "50,181"}, 400),
    "unknown field": (RANK, {"histroy": ["103"]}, 400),
    "unknown model": (RANK, {"model": "gpt"}, 404),
    "unknown item": (RANK, {"history": ["nothing"]}, 400),
    "k of 0": (RANK, {"k": 0}, 400),
    "k of a million": (RANK, {"k": 1_000_000}, 400),
    "a boost twice": (RANK, b'{"boosts": {"103": 1, "103": 2}}', 400),
    "NaN in a list": (RANK, b'{"history": [NaN]}', 400),
    "a fraction": (RANK, {"history": [103.5]}, 400),
    "a huge history": (RANK, {"history": ["103"] * 100_000}, 400),
    "a huge body": (RANK, b" " * 50_000_000, 413),
    "control characters": (RANK, {"query": "red\x00\x1b[2J"}, 400),
    "a lone surrogate": (RANK, b'{"query": "\\ud800"}', 400),
    "a long query": (RANK, {"query": "x" * 501}, 400),
    "no messages": (CHAT, {"messages": []}, 400),
    "a wrong role": (CHAT, {"messages": [{"role": "root", "content": "x"}]}, 400),
    "a long message": (CHAT, {"messages": [{"role": "user", "content": "x" * 30_000}]}, 400),
    "no opinion": (FEEDBACK, {"item_id": "103"}, 400),
    "no route": ("/v1/nothing", {}, 404),
    "a wrong method": ("/healthz", {}, 405),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_a_4xx_in_openais_shape(server, name):
    path, body, expected = BAD[name]
    try:
        status, _, text = server.post(path, body)
    except urllib.error.URLError as error:  # refused while the body was still being sent
        assert name == "a huge body" and isinstance(error.reason, (BrokenPipeError, ConnectionResetError))
    else:
        error = json.loads(text)["error"]
        assert status == expected and error["message"] and set(error) == {"message", "type", "param", "code"}
    assert server.get("/healthz")[0] == 200


@pytest.mark.parametrize(
    ("path", "body", "field", "code"),
    [
        (RANK, {"histroy": ["103"]}, "histroy", "invalid_request"),
        (RANK, {"k": 0}, "k", "invalid_request"),
        (RANK, {"filters": {"genres": [{}]}}, "filters.genres.0", "invalid_request"),
        (RANK, {"history": ["103"] * 100_000}, "history", "too_long"),
        (RANK, {"filters": {"genres": ["a\x07b"]}}, "filters.genres.0", "invalid_request"),
        (RANK, b"{", None, "invalid_json"),
        (RANK, {"history": ["nothing"]}, None, "invalid_request"),
        (CHAT, {"messages": [{"role": "root", "content": "x"}]}, "messages.0.role", "invalid_request"),
        (CHAT, {"messages": [{"role": "user", "content": "x" * 30_000}]}, "messages", "too_long"),
        (CHAT, {}, "messages", "invalid_request"),
    ],
)
def test_the_wrong_field_is_named_in_one_line(embedded_server, path, body, field, code):
    status, _, text = embedded_server.post(path, body)
    error = json.loads(text)["error"]
    assert status == 400 and error["param"] == field and error["code"] == code
    assert "\n" not in error["message"]
    if field:
        assert error["message"].startswith(f"{field}: ")


def test_openapi_describes_what_is_sent_and_no_error_that_never_comes(embedded_server):
    page = json.loads(embedded_server.get("/openapi.json")[2])
    assert embedded_server.get("/docs")[0] == 200
    expected = {RANK: "RecommendationsBody", CHAT: "ChatBody", FEEDBACK: "FeedbackBody"}
    for path, name in expected.items():
        operation = page["paths"][path]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert operation["requestBody"]["required"] and schema == {"$ref": f"#/components/schemas/{name}"}
        assert {"4XX", "503"} <= set(operation["responses"]) and "422" not in operation["responses"]
    fields = page["components"]["schemas"]["RecommendationsBody"]["properties"]
    assert {"history", "k", "filters", "exclude", "only", "explain", "query", "stream", "model"} <= set(fields)
    assert fields["k"]["maximum"] == 1000
    assert "justification" in page["components"]["schemas"]["FeedbackBody"]["properties"]
    assert page["components"]["schemas"]["ErrorBody"]


def test_the_server_is_ready_while_its_engine_is_and_lives_without_it(embedded_server, embedded, monkeypatch):
    assert json.loads(embedded_server.get("/readyz")[2]) == {"status": "ok"}
    monkeypatch.setattr(embedded, "is_alive", lambda: False)
    assert json.loads(embedded_server.get("/healthz")[2]) == {"status": "ok"}
    status, headers, text = embedded_server.get("/readyz")
    assert status == 503 and headers["Retry-After"] == "1" and json.loads(text)["error"]["code"] == "engine_lost"
