"""Progress of long work, told to whoever listens: a callable of what, done and total.

`what` may go on behind a comma with something that changes: "rank, loss 5.61" and "rank, loss 5.60" are one work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

Progress = Callable[[str, int, int], None]


@contextmanager
def progress_bars(quiet: bool = False) -> Iterator[Progress]:
    """Yield a Progress that draws one bar for each work on standard error."""
    console = Console(stderr=True, quiet=quiet)
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
            work = what.partition(",")[0]
            if work not in known:
                known[work] = bars.add_task(what, total=total)
            bars.update(known[work], description=what, completed=done, total=total)  # type: ignore[arg-type]

        yield report
