"""What people are shown and take, and how far it drifts, as metrics: looked at now and then, beside the requests."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from recommender.errors import RecommenderError
from recommender.numerics.drift import ItemBins
from recommender.server.http_metrics import HttpMetrics
from recommender.store.store import Store
from recommender.store.watching import Watched, watched

logger = logging.getLogger(__name__)
DAY = 86_400.0


def show(metrics: HttpMetrics, seen: Watched) -> None:
    """Set the gauges; what is not known is NaN, as Prometheus has it."""
    for name, value in seen.told().items():
        metrics.watched.labels(name).set(float("nan") if value is None else value)


def start_watching(
    store: Store | None, every: float | None, items: int, metrics: HttpMetrics, trained: ItemBins | None = None
) -> Callable[[], None] | None:
    """Look at a store every so many seconds, and return what stops it; None where there is nothing to look at.

    `items`, `trained`: as in `compared`.
    """
    if store is None or every is None:
        return None
    stopped = threading.Event()

    def run() -> None:
        while not stopped.wait(every):
            try:
                show(metrics, watched(store, time.time(), DAY, items, trained))
            except RecommenderError as error:  # a store that is away for a moment is asked again
                logger.error("the store is not watched at the moment: %s", error.message)

    threading.Thread(target=run, name="watching", daemon=True).start()
    return stopped.set
