"""Counts that rank along take what people do as it comes: popularity, transitions, neighbours of a served model.

They are counted anew from the histories that the model was trained on and the events since, beside the requests, and take
the place of the old ones in one step. Where counting takes long it is done less often, so that it never takes more than
half of a core.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import numpy as np

from recommender.data.histories import Histories
from recommender.engine import Engine
from recommender.errors import RecommenderError
from recommender.pipelines.recounting import recounted
from recommender.pipelines.train import load_histories
from recommender.server.http_metrics import HttpMetrics
from recommender.store.events import CHOSEN
from recommender.store.store import Store

logger = logging.getLogger(__name__)
_AT_ONCE = 10_000
#: the share of the time that counting may take
_BUSY = 0.5


class FollowingCounts:
    """Keeps the fused baselines of an engine at what the store knows."""

    def __init__(
        self, engine: Engine, store: Store, since: float | None = None, metrics: HttpMetrics | None = None
    ) -> None:
        """Take up the histories of the engine's config. `since`: events up to there are among them already.

        Raises DataError if they are not at hand.
        """
        self.engine, self.store, self._since, self._metrics = engine, store, since, metrics
        histories = load_histories(engine.config, engine.catalogue)
        self._known = {user: list(items) for user, items in _by_user(histories, since).items()}
        self._names = {store.people.pseudonym(user): user for user in histories.user_ids}
        self._places = {item_id: place for place, item_id in enumerate(engine.catalogue.item_ids)}
        self._last, self.seconds = 0, 0.0
        self._stopped = threading.Event()

    def follow_once(self) -> int:
        """Take what came since the last time, and return how many interactions that were."""
        taken = 0
        while True:
            came, last = self.store.events.after(self._last, _AT_ONCE)
            for person, event in came:
                late = self._since is None or (event.time or 0.0) > self._since
                if late and event.kind in CHOSEN and event.item in self._places:
                    user = person if person in self._known else self._names.get(person, person)
                    self._known.setdefault(user, []).append(self._places[event.item])
                    taken += 1
            if last == self._last:
                break
            self._last = last
        if taken:
            self._count()
        if self._metrics is not None:
            self._metrics.counted_event.set(self._last)
            self._metrics.counting_seconds.set(self.seconds)
        return taken

    def _count(self) -> None:
        started = time.monotonic()
        setup = self.engine.setup
        assert setup.fusion is not None
        known = [np.array(items, np.int64) for items in self._known.values()]
        setup.fusion = recounted(setup.fusion, setup.catalogue, setup.features, known, setup.config.seed)
        self.seconds = time.monotonic() - started

    def run(self, every: float) -> None:
        """Follow until it is stopped, every so many seconds or less often."""
        while not self._stopped.wait(max(every, self.seconds / _BUSY)):
            try:
                self.follow_once()
            except RecommenderError as error:  # a store that is away for a moment is asked again
                logger.error("counts do not follow at the moment: %s", error.message)

    def stop(self) -> None:
        """Follow no more."""
        self._stopped.set()


def _by_user(histories: Histories, since: float | None) -> dict[str, np.ndarray]:
    """Return what each user had up to a moment; all of it without times."""
    if since is None or histories.times is None:
        return dict(zip(histories.user_ids, histories.items, strict=True))
    return {
        user: items[: int(np.searchsorted(times, since, side="right"))]
        for user, items, times in zip(histories.user_ids, histories.items, histories.times, strict=True)
    }


def start_following(
    engine: Engine, store: Store | None, every: float | None, since: float | None, metrics: HttpMetrics | None = None
) -> Callable[[], None] | None:
    """Let the counts of an engine follow a store, and return what stops it; None where there is nothing to follow.

    Histories that are not at hand are told in the log, and the counts stay as they were trained.
    """
    if store is None or every is None or engine.fusion is None:
        return None
    try:
        following = FollowingCounts(engine, store, since, metrics)
    except RecommenderError as error:
        logger.warning("counts do not follow events: %s", error.message)
        return None
    thread = threading.Thread(target=following.run, args=(every,), name="counts", daemon=True)
    thread.start()
    return following.stop
