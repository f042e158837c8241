"""What a server measures, for Prometheus."""

from __future__ import annotations

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_fastapi_instrumentator import Instrumentator
from prometheus_fastapi_instrumentator.metrics import Info

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_GROUP_SIZES = (1, 2, 4, 8, 16, 32)
#: what the instrumentator calls a path that no route has
_NO_ROUTE = "none"


class HttpMetrics:
    """The metrics of one server, in a registry of its own: requests and latency, and what ranks and writes."""

    def __init__(self) -> None:
        """Start at zero."""
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "recommender_requests", "HTTP requests answered", ("route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "recommender_request_seconds", "Time to the whole answer", ("route",), buckets=_SECONDS, registry=registry
        )
        self.group_size = Histogram(
            "recommender_group_size", "Requests ranked together", buckets=_GROUP_SIZES, registry=registry
        )
        self.waiting = Gauge("recommender_waiting", "Requests that wait to be ranked", registry=registry)
        self.writing = Gauge("recommender_writing", "Lists whose justifications are being written", registry=registry)
        self.failed_streams = Counter(
            "recommender_failed_streams", "Streams that ended in an error, by its code", ("code",), registry=registry
        )
        self.counted_event = Gauge(
            "recommender_counted_event",
            "Number of the last event of the store that fused counts hold",
            registry=registry,
        )
        self.counting_seconds = Gauge(
            "recommender_counting_seconds", "How long counting anew took the last time", registry=registry
        )
        self.watched = Gauge(
            "recommender_watched", "Lists, takes, coverage and drifts of the last day", ("value",), registry=registry
        )
        self.disconnected = Counter(
            "recommender_disconnected", "Requests whose client left before the answer", registry=registry
        )

    def count_refused(self, status: int) -> None:
        """Count what was refused before it was a request of any route."""
        self.requests.labels("other", str(status)).inc()

    def instrument(self, app: FastAPI) -> None:
        """Measure every request of `app`, and add the route /metrics."""
        instrumentator = Instrumentator(should_group_status_codes=False, registry=self.registry)
        instrumentator.add(self._observe).instrument(app).expose(app)

    def _observe(self, info: Info) -> None:
        route = "other" if info.modified_handler == _NO_ROUTE else info.modified_handler
        self.requests.labels(route, info.modified_status).inc()
        self.seconds.labels(route).observe(info.modified_duration)
