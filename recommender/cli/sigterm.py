"""SIGTERM ends a command as an error would: what it has open is closed, what it has half written is removed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class _TerminatedError(BaseException):
    """Unwinds the stack; no error that anybody means to catch."""


@contextmanager
def unwinding_on_sigterm() -> Iterator[None]:
    """Unwind the block on SIGTERM, and end this process by it afterwards, so that who sent it sees that it worked.

    Only the process that began the block unwinds: a copy of it, made for work of its own, ends at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = os.getpid()

    def unwind(number: int, _: FrameType | None) -> None:
        if os.getpid() != ours:
            _end_by(number)
        signal.signal(number, signal.SIG_IGN)  # one is enough: what is being closed is not interrupted
        raise _TerminatedError

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    except _TerminatedError:
        _end_by(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def _end_by(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
