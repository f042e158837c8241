"""Who may use a model that does one thing at a time: ranking goes first, writing gives way between two steps."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class PriorityLock:
    """A lock with precedence, which a thread may enter several times.

    It is handed over: whoever releases it names the next one, first of those that came by `high`, else of those that came
    by `low`, each in the order of their coming. So nobody who takes it again at once is before somebody who waits.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._high: deque[threading.Event] = deque()
        self._low: deque[threading.Event] = deque()
        self._taken = False
        self._held = threading.local()

    @contextmanager
    def high(self) -> Iterator[None]:
        """Hold the model for short work that somebody waits for."""
        with self._holding(self._high):
            yield

    @contextmanager
    def low(self) -> Iterator[None]:
        """Hold the model for work that gives way: in short groups, or calling `yield_to_high` now and then."""
        with self._holding(self._low):
            yield

    @property
    def high_is_waiting(self) -> bool:
        """Whether somebody waits who goes first."""
        return bool(self._high)

    def yield_to_high(self) -> None:
        """Let everybody pass who waits to go first. Only within `low`; within a second hold of one thread nobody passes."""
        if self._depth == 1 and self.high_is_waiting:
            self._release()
            self._acquire(self._low)

    @property
    def _depth(self) -> int:
        return getattr(self._held, "depth", 0)

    @contextmanager
    def _holding(self, queue: deque[threading.Event]) -> Iterator[None]:
        if not self._depth:
            self._acquire(queue)
        self._held.depth = self._depth + 1
        try:
            yield
        finally:
            self._held.depth -= 1
            if not self._depth:
                self._release()

    def _acquire(self, queue: deque[threading.Event]) -> None:
        turn = threading.Event()
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            queue.append(turn)
        turn.wait()

    def _release(self) -> None:
        with self._guard:
            for queue in (self._high, self._low):
                if queue:
                    queue.popleft().set()
                    return
            self._taken = False
