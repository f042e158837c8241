"""Work that somebody may stop waiting for: it goes in small groups, lets lists pass between two of them, and ends when it is
left.

How deep the work lies below who started it differs: evidence, questions back and traces all score through an engine. So
what is under way belongs to the thread, not to the arguments of every function on the way.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_STOP: ContextVar[threading.Event | None] = ContextVar("stop", default=None)


class AbandonedError(Exception):
    """Nobody waits any more for what is under way."""


@contextmanager
def in_background(stop: threading.Event | None) -> Iterator[None]:
    """Work for somebody who may leave: then `stop` is set, and `check_stop` raises. None changes nothing."""
    token = _STOP.set(stop or _STOP.get())
    try:
        yield
    finally:
        _STOP.reset(token)


def current_stop() -> threading.Event | None:
    """Return what is set once nobody waits for this thread's work; None where it does not give way to lists."""
    return _STOP.get()


def check_stop() -> None:
    """Raise AbandonedError if nobody waits any more for this thread's work. Called between two groups of it."""
    stop = _STOP.get()
    if stop is not None and stop.is_set():
        raise AbandonedError
