"""Errors in the shape of OpenAI's API."""

from __future__ import annotations

import json

import pytest

from recommender.errors import AssetError, CheckpointError, ConfigError, DataError, EngineLostError
from recommender.server.http_errors import ErrorBody, HttpError, http_error_of, overloaded


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (404, "not_found_error"),
        (409, "invalid_request_error"),
        (413, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (503, "server_error"),
    ],
)
def test_each_status_has_its_type_and_says_when_to_come_again(status, kind):
    response = HttpError(status, "what is wrong", "some_code", "field.0").response()
    body = json.loads(response.body)
    assert response.status_code == status
    assert body == {"error": {"message": "what is wrong", "type": kind, "param": "field.0", "code": "some_code"}}
    assert ErrorBody.model_validate(body).model_dump() == body
    assert response.headers.get("retry-after") == ("1" if status in (429, 503) else None)


def test_what_the_engine_raises_is_the_requests_fault_or_the_servers():
    fault = http_error_of(DataError("unknown item", "did you mean 103?"))
    assert fault.status_code == 400 and fault.detail == "unknown item (hint: did you mean 103?)"
    lost = http_error_of(EngineLostError("connection refused on 10.0.0.1"))
    assert lost.status_code == 503 and lost.code == "engine_lost" and "10.0.0.1" not in lost.detail
    assert overloaded().status_code == 429 and overloaded().code == "overloaded"


@pytest.mark.parametrize("kind", [AssetError, CheckpointError, ConfigError])
def test_what_the_installation_lacks_is_told_without_its_folders(kind, caplog):
    answer = http_error_of(kind("/srv/cache/model: is damaged", "fetch it again into /srv/cache"))
    assert answer.status_code == 400 and "/srv" not in json.dumps(answer.body) and "/srv/cache/model" in caplog.text
