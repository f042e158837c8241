"""Work that is done one step ahead, in a thread, while the device computes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Ahead(Generic[Made]):
    """Results of `make(step)`, one step after the other; the next one is begun when one is taken.

    Only one is made at a time. A thread that is still at work when the program ends is not waited for.
    """

    def __init__(self, make: Callable[[int], Made]) -> None:
        self._make = make
        self._next: tuple[int, Future[Made]] | None = None

    def take(self, step: int, last: bool = False) -> Made:
        """Return what is made for a step, and begin the next one unless this is the `last`. Raises what `make` raises."""
        if self._next is None or self._next[0] != step:
            self._next = self._begun(step)
        made = self._next[1].result()
        self._next = None if last else self._begun(step + 1)
        return made

    def _begun(self, step: int) -> tuple[int, Future[Made]]:
        future: Future[Made] = Future()

        def work() -> None:
            try:
                future.set_result(self._make(step))
            except BaseException as error:  # raised where the result is taken
                future.set_exception(error)

        threading.Thread(target=work, name="batches", daemon=True).start()
        return step, future
