"""What /metrics tells: every request once, under its route and status, and how long it took."""

import json

import pytest

from recommender.errors import EngineLostError
from tests.server.http_server import RANK, WrappedEngine, running


def test_requests_are_counted_by_route_and_status(embedded):
    with running(embedded, body_bytes=2048) as server:
        for _ in range(3):
            server.post(RANK, {"k": 2})
        server.post(RANK, {"k": 0})
        server.post(RANK, b" " * 3000)
        server.get("/v1/models/nobody")
        server.get("/no/route")
        assert server.metric('recommender_requests_total{route="/v1/recommendations",status="200"}') == 3
        assert server.metric('recommender_requests_total{route="/v1/recommendations",status="400"}') == 1
        assert server.metric('recommender_requests_total{route="/v1/recommendations",status="413"}') == 1
        assert server.metric('recommender_requests_total{route="/v1/models/{model:path}",status="404"}') == 1
        assert server.metric('recommender_requests_total{route="other",status="404"}') == 1
        assert server.metric('recommender_request_seconds_count{route="/v1/recommendations"}') == 5
        assert server.metric("recommender_group_size_count") == 3 and server.metric("recommender_group_size_sum") == 3


def test_every_metric_has_its_name(embedded_server):
    status, headers, text = embedded_server.get("/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain")
    for name in ("group_size_bucket", "waiting", "writing", "disconnected_total", "request_seconds_bucket"):
        embedded_server.get("/healthz")
        assert f"recommender_{name}" in embedded_server.get("/metrics")[2], name


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (ZeroDivisionError("secret"), 500, "internal_error"),
        (EngineLostError("gone"), 503, "engine_lost"),
    ],
)
def test_failures_are_counted_and_tell_no_secrets(embedded, failure, status, code):
    class Failing(WrappedEngine):
        def answer_many(self, requests):
            raise failure

    with running(Failing(embedded)) as server:
        answered, _, text = server.post(RANK, {"k": 2})
        assert answered == status and json.loads(text)["error"]["code"] == code and "secret" not in text
        assert server.metric(f'recommender_requests_total{{route="/v1/recommendations",status="{status}"}}') == 1


def test_the_time_of_a_stream_is_that_of_the_whole_answer(embedded):
    class Waiting(WrappedEngine):
        def stream_justifications(self, request, items, stop=None, together=False):
            assert not stop.wait(0.3)
            return iter(items)

    with running(Waiting(embedded)) as server:
        server.post(RANK, {"k": 2, "explain": True, "stream": True})
        assert server.metric('recommender_request_seconds_sum{route="/v1/recommendations"}') >= 0.3
