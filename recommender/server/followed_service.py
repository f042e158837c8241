"""A service that follows its checkpoint where no server swaps versions: the session of an agent goes on with the new one.

A call has one version from its beginning to its end. The old version ends with its last call.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

from recommender.engine import Engine
from recommender.errors import RecommenderError
from recommender.server.service import Service

logger = logging.getLogger(__name__)


class Source(NamedTuple):
    """Where versions of a model come from. `state`: what tells the first one from others; `state_now`: what tells the one
    that is there now; `open_now`: opens that."""

    state: str
    state_now: Callable[[], str]
    open_now: Callable[[], Engine]


@dataclass(eq=False)
class _Version:
    service: Service
    calls: int = 0
    retired: bool = False


class FollowedService:
    """The service of the moment, of a checkpoint that is looked at now and then."""

    def __init__(self, first: Service) -> None:
        self._version, self._lock, self._stopped = _Version(first), threading.Lock(), threading.Event()

    def follow(self, source: Source, served: Callable[[Engine], Service], seconds: float) -> None:
        """Look every so many seconds for another version, in a thread, and take it over as it is `served`.

        One that cannot be opened is told in the log, once.
        """

        def look() -> None:
            seen = source.state
            while not self._stopped.wait(seconds):
                with suppress(OSError):  # a folder that is being replaced
                    now = source.state_now()
                    if now != seen:
                        self._take_over(source, served)
                        seen = now

        threading.Thread(target=look, name="following", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    @contextmanager
    def using(self) -> Iterator[Service]:
        """Give the service of the moment to one call."""
        with self._lock:
            version = self._version
            version.calls += 1
        try:
            yield version.service
        finally:
            with self._lock:
                version.calls -= 1
            self._end_if_done(version)

    def _take_over(self, source: Source, served: Callable[[Engine], Service]) -> None:
        try:
            opened = served(source.open_now())
            opened.warm_up()
        except RecommenderError as error:
            logger.error("the new version cannot be opened, the old one goes on: %s", error.message)
            return
        with self._lock:
            before, self._version = self._version, _Version(opened)
            before.retired = True
        self._end_if_done(before)

    def _end_if_done(self, version: _Version) -> None:
        with self._lock:
            ends = version.retired and not version.calls
            version.retired = version.retired and not ends  # once
        if ends:
            version.service.close()
            version.service.engine.close()
