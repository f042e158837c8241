"""Progress of long work: a callable of a description, how much is done and how much there is, and how it is shown.

Behind a comma the description may hold something that changes: "rank, loss 5.61" and "rank, loss 5.60" are one task.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from recommender.errors import printable

logger = logging.getLogger(__name__)
Progress = Callable[[str, int, int], None]
LINE_SECONDS = 30.0
"""Seconds between two lines where there is no terminal to draw bars on."""


def is_main_process() -> bool:
    """Whether this process prints and shows progress: of several that train together only the first one does."""
    ranks = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
    return not any(int(os.environ.get(name) or 0) for name in ranks)


class PrintableFormatter(logging.Formatter):
    """Writes notes as they are, but for what would steer the terminal: they quote names and cells of strangers."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the note as text."""
        return printable(super().format(record), keep="\n\t")


@contextmanager
def progress_bars(quiet: bool = False) -> Iterator[Progress]:
    """Yield a Progress that draws one bar for each task on standard error, or writes lines if that is no terminal.

    Of several processes that train together the first one shows it.
    """
    quiet = quiet or not is_main_process()
    console = Console(stderr=True, quiet=quiet)
    if not console.is_terminal:
        with _logging_to_stderr(quiet):
            lines = _ProgressLines()
            try:
                yield lines
            finally:
                lines.finish()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as bars:
        task_ids: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            task = _task(what)
            if task not in task_ids:
                task_ids[task] = bars.add_task(what, total=total)
            bars.update(task_ids[task], description=what, completed=done, total=total)

        yield report


@contextmanager
def _logging_to_stderr(quiet: bool) -> Iterator[None]:
    """Send this logger's lines to standard error as they are, or nowhere, and leave it as it was."""
    handler = logging.NullHandler() if quiet else logging.StreamHandler()
    handler.setFormatter(PrintableFormatter())
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before[1]
        logger.setLevel(before[0])


@dataclass
class _ProgressLines:
    """Progress as lines: one when a task ends, and one every `LINE_SECONDS` while tasks go on."""

    last: float = field(default_factory=lambda: time.monotonic())
    #: task -> when it began and how much had been done by then, since a resumed one does not begin at zero
    began: dict[str, tuple[float, int]] = field(default_factory=dict)
    #: task -> its latest line, if that was not written yet
    pending: dict[str, str] = field(default_factory=dict)

    def __call__(self, what: str, done: int, total: int) -> None:
        task, now = _task(what), time.monotonic()
        start, done_before = self.began.setdefault(task, (now, done))
        self.pending[task] = _line(what, done, total, now - start, done - done_before)
        if done >= total or now - self.last >= LINE_SECONDS:
            logger.info("%s", self.pending.pop(task))
            self.last = now
        if done >= total:
            del self.began[task]

    def finish(self) -> None:
        """Write the latest line of each task that has not been written yet."""
        for line in self.pending.values():
            logger.info("%s", line)


def _line(what: str, done: int, total: int, seconds: float, done_since: int) -> str:
    """`done_since`: how much was done in these `seconds`."""
    left = f", {_clock(seconds / done_since * (total - done))} left" if done_since > 0 and done < total else ""
    return f"{what} {done}/{total}, {_clock(seconds)}{left}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _task(what: str) -> str:
    return what.partition(",")[0]
