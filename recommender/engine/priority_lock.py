"""Who may use a model that does one thing at a time: ranking goes first, writing gives way between two tokens."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_PAUSE = 0.001


class PriorityLock:
    """A lock with precedence: whoever came by `high` is let through by whoever came by `low` and calls `yield_to_high`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._count = threading.Lock()
        self._waiting = 0

    @contextmanager
    def high(self) -> Iterator[None]:
        """Hold the model for short work that somebody waits for."""
        with self._count:
            self._waiting += 1
        self._lock.acquire()
        with self._count:
            self._waiting -= 1
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def low(self) -> Iterator[None]:
        """Hold the model for long work that calls `yield_to_high` now and then."""
        with self._lock:
            yield

    @property
    def high_is_waiting(self) -> bool:
        """Whether somebody waits who goes first."""
        return self._waiting > 0

    def yield_to_high(self) -> None:
        """Let everybody pass who waits to go first. Only within `low`."""
        self._lock.release()
        try:
            while self.high_is_waiting:
                time.sleep(_PAUSE)
        finally:
            self._lock.acquire()
