"""Progress of long work, told to whoever listens: a callable of what, done and total.

`what` may go on behind a comma with something that changes: "rank, loss 5.61" and "rank, loss 5.60" are one work.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

logger = logging.getLogger(__name__)
Progress = Callable[[str, int, int], None]
EVERY = 30.0
"""Seconds between two lines where there is no terminal to draw bars on."""


@contextmanager
def progress_bars(quiet: bool = False) -> Iterator[Progress]:
    """Yield a Progress that draws one bar for each work on standard error, or writes a line now and then into a file."""
    console = Console(stderr=True, quiet=quiet)
    if not console.is_terminal:
        with _logged(quiet):
            lines = _Lines()
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
        known: dict[str, int] = {}

        def report(what: str, done: int, total: int) -> None:
            work = _work(what)
            if work not in known:
                known[work] = bars.add_task(what, total=total)
            bars.update(known[work], description=what, completed=done, total=total)  # type: ignore[arg-type]

        yield report


@contextmanager
def _logged(quiet: bool) -> Iterator[None]:
    """Send this logger's lines to standard error as they are, or nowhere, and leave it as it was."""
    handler = logging.NullHandler() if quiet else logging.StreamHandler()
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
class _Lines:
    """Progress as lines: each work when it ends, and whichever goes on every `EVERY` seconds."""

    last: float = field(default_factory=lambda: time.monotonic())
    #: work -> when it began and how much had been done by then, since a resumed one does not begin at nothing
    began: dict[str, tuple[float, int]] = field(default_factory=dict)
    untold: dict[str, str] = field(default_factory=dict)

    def __call__(self, what: str, done: int, total: int) -> None:
        work, now = _work(what), time.monotonic()
        start, before = self.began.setdefault(work, (now, done))
        self.untold[work] = _line(what, done, total, now - start, done - before)
        if done >= total or now - self.last >= EVERY:
            logger.info("%s", self.untold.pop(work))
            self.last = now
        if done >= total:
            del self.began[work]

    def finish(self) -> None:
        """Tell how far each work came that has not been told of."""
        for line in self.untold.values():
            logger.info("%s", line)


def _line(what: str, done: int, total: int, seconds: float, by_now: int) -> str:
    left = f", {_clock(seconds / by_now * (total - done))} left" if by_now > 0 and done < total else ""
    return f"{what} {done}/{total}, {_clock(seconds)}{left}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _work(what: str) -> str:
    return what.partition(",")[0]
