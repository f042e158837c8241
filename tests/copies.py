"""Commands in processes that are copies of this one: nothing is imported again, which takes ten seconds each."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from recommender.cli import main


def begin_command(
    *arguments: object,
    streams: Sequence[int] | None = None,
    closed: Sequence[int] = (),
    group: bool = False,
    folder: Path = Path(),
) -> BaseProcess:
    """Start `recommender ARGUMENTS`: what `python -m recommender` runs, without the imports before it.

    `streams`: descriptors of its standard input, output and errors, instead of none; `closed`: the other ends of its pipes,
    which are only ours; `group`: whether it has a process group of its own; `folder`: where it works.
    """
    told = [str(argument) for argument in arguments]
    process = multiprocessing.get_context("fork").Process(target=run_here, args=(told, streams, closed, group, folder))
    process.start()
    return process


def run_here(
    arguments: list[str],
    streams: Sequence[int] | None = None,
    closed: Sequence[int] = (),
    group: bool = False,
    folder: Path = Path(),
) -> None:
    """Be that process: for a copy that was begun in another way."""
    os.chdir(folder)
    if group:
        os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for end in closed:
        os.close(end)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number, stream in enumerate(streams or [nothing] * 3):
        os.dup2(stream, number)
    sys.stdin = os.fdopen(0, "r", closefd=False)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    logging.getLogger().handlers.clear()  # those of pytest
    sys.argv = ["recommender", *arguments]
    main()
