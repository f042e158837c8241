"""Where a batch is computed: in this thread, in threads or in processes; none of them keeps a stopped batch waiting."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any


@contextmanager
def ended(pool: Executor) -> Iterator[Executor]:
    """End a pool with the block. One that is interrupted does not wait for what it computes: its processes are ended."""
    before = set(multiprocessing.active_children())
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - before:
            process.kill()
        raise
    pool.shutdown()


class HereExecutor(Executor):
    """Computes in the thread that asks, which Ctrl-C interrupts at once."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Call the function now; return its future, which is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


class DaemonExecutor(Executor):
    """Threads that the end of the process does not wait for, unlike those of ThreadPoolExecutor: a server may be slow."""

    def __init__(self, threads: int) -> None:
        self._tasks: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Have one of the threads call the function; return its future."""
        future: Future[Any] = Future()
        self._tasks.put((future, partial(function, *arguments, **named)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads behind what they were given; `cancel_futures`: behind what they are doing."""
        while cancel_futures and not self._tasks.empty():
            self._tasks.get()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads if wait else ():
            thread.join()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            future, compute = task
            try:
                future.set_result(compute())
            except BaseException as error:
                future.set_exception(error)
