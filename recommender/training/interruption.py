"""Ending on Ctrl-C and on SIGTERM: at the end of the step under way, with all that was learned, or at once if it is long."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

GRACE_SECONDS = 0.7
"""How long a step may go on before it is given up."""
_AGAIN_SECONDS = 5.0
"""When it is given up once more: what a signal raises while garbage is collected is lost, as Python ignores it there."""


@contextmanager
def deferred() -> Iterator[threading.Event]:
    """Yield an event that the first SIGINT or SIGTERM sets; after `GRACE_SECONDS`, or at a second one, what they did before
    happens. In a thread of its own signals are left as they are, and so is one that is ignored, as a shell has it for
    Ctrl-C of what it started in the background.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    heard = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]
    before: dict[int, Any] = {n: signal.getsignal(n) for n in (*heard, signal.SIGALRM)}
    pending: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGALRM:
            pending.append(number)
        if number != signal.SIGALRM and not asked.is_set():
            asked.set()
            signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS, _AGAIN_SECONDS)
        else:
            _as_before(before[pending[-1]], pending[-1], frame)

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        if asked.is_set():
            _as_before(before[pending[0]], pending[0], None)


def patient() -> None:
    """Let what is under way take its time, after a signal: processes that save together would wait for one that gave up."""
    if threading.current_thread() is threading.main_thread():
        signal.setitimer(signal.ITIMER_REAL, 0)


def _as_before(handler: Any, number: int, frame: FrameType | None) -> None:
    """Do what a signal did before: by default Ctrl-C raises KeyboardInterrupt; so does SIGTERM, which would end unasked."""
    if not callable(handler):
        raise KeyboardInterrupt
    handler(number, frame)
