"""Stopping a command: Ctrl-C and SIGTERM end it alike, and what is half done is cleaned up."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer


class Terminated(KeyboardInterrupt):
    """SIGTERM: what Ctrl-C is, with another exit code."""


def end_on_sigterm() -> None:
    """Have SIGTERM raise Terminated, so that temporary files and processes go; by itself it would leave them."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, end)


@contextmanager
def stoppable() -> Iterator[None]:
    """End the command with the exit code of the signal that stopped it; what is kept was said by whoever kept it."""
    try:
        yield
    except KeyboardInterrupt as stop:
        number = signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT
        raise typer.Exit(128 + number) from None
