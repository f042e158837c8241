"""Stopping a command: Ctrl-C and SIGTERM end it alike, and what is half done is cleaned up."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer


class Terminated(KeyboardInterrupt):
    """SIGTERM: what Ctrl-C is, with another exit code."""


@contextmanager
def unwinding_on_sigterm() -> Iterator[None]:
    """Unwind the block on SIGTERM as an error would: what is open is closed, what is half written is removed.

    Afterwards the process ends by the signal, so that who sent it sees that it worked, unless the command has an exit code
    for it (`stoppable`). Only the process that began the block unwinds: a copy of it, made for work of its own, ends at
    once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours, asked = os.getpid(), False

    def unwind(number: int, _: FrameType | None) -> None:
        nonlocal asked
        if os.getpid() != ours:
            _end_by(number)
        signal.signal(number, signal.SIG_IGN)  # one is enough: what is being closed is not interrupted
        asked = True
        raise Terminated

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    except BaseException as end:
        if asked and not (isinstance(end, SystemExit) and end.code == _exit_code(signal.SIGTERM)):
            _end_by(signal.SIGTERM)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def stoppable() -> Iterator[None]:
    """End the command with the exit code of the signal that stopped it; what is kept was said by whoever kept it."""
    try:
        yield
    except KeyboardInterrupt as stop:
        number = signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT
        raise typer.Exit(_exit_code(number)) from None


def _exit_code(number: int) -> int:
    """Return the exit code of a shell for a process that a signal ended."""
    return 128 + number


def _end_by(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
