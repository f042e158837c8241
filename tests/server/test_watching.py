"""What people are shown and take is on /metrics."""

from __future__ import annotations

import math

from recommender.numerics.drift import ItemBins
from tests.server.http_server import RANK, Server, until


def test_lists_and_takes_are_metrics(embedded, store):
    server = Server(embedded, store, watch_seconds=0.1)
    try:
        assert server.post(RANK, {"user": "ann", "k": 4})[0] == 200
        events = [{"id": "e1", "user": "ann", "item": "103", "kind": "like"}]
        assert server.post("/v1/events", {"events": events})[0] == 200
        until(lambda: server.metric('recommender_watched{value="takes"}') == 1)
        assert server.metric('recommender_watched{value="impressions"}') == 1
        assert server.metric('recommender_watched{value="coverage"}') == 4 / len(embedded.catalogue)
        assert math.isnan(server.metric('recommender_watched{value="listed_drift"}'))  # nothing to compare with
    finally:
        server.close()


def test_drift_from_what_the_model_learned_is_a_metric(embedded, store, monkeypatch):
    monkeypatch.setattr(embedded.setup, "trained", ItemBins.of({"103": 9, "104": 1}))
    server = Server(embedded, store, watch_seconds=0.1)
    try:
        assert server.post(RANK, {"user": "ann", "k": 4})[0] == 200
        until(lambda: server.metric('recommender_watched{value="listed_drift_from_training"}') > 0)
        assert math.isnan(server.metric('recommender_watched{value="taken_drift_from_training"}'))
    finally:
        server.close()
