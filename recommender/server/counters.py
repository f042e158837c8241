"""What a server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The counters of one server, in a registry of its own."""

    def __init__(self) -> None:
        """Start at zero."""
        self.registry = CollectorRegistry()
        labels = ("route", "status")
        self.requests = Counter("recommender_requests", "HTTP requests answered", labels, registry=self.registry)
        self.seconds = Histogram(
            "recommender_request_seconds",
            "Time to the whole answer",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.group = Histogram(
            "recommender_group_size", "Requests ranked together", buckets=(1, 2, 4, 8, 16, 32), registry=self.registry
        )
        self.waiting = Gauge("recommender_waiting", "Requests that wait to be ranked", registry=self.registry)
        self.writing = Gauge("recommender_writing", "Lists whose reasons are being written", registry=self.registry)
        self.left = Counter(
            "recommender_disconnected", "Requests whose client left before the answer", registry=self.registry
        )

    def render(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self.registry)
