"""The moment before a command begins: the import of the command line, which Ctrl-C ends as quietly as the command itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

#: of a shell, for a process that Ctrl-C ended
INTERRUPTED = 128 + signal.SIGINT


@contextmanager
def ended_quietly_by_interrupt() -> Iterator[None]:
    """End the process on Ctrl-C at once: nothing is open yet, and an import must not end in a traceback."""
    try:
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, or somebody else's program
            raise ValueError
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    except ValueError:  # or not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
