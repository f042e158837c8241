"""Where requests wait: one lane ranks them in small groups, another writes reasons; both are bounded.

Concurrent requests share one prefill (dynamic batching): a worker takes the first that waits and whatever else arrives
within a few milliseconds, up to what the engine gains from.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from recommender.config import ServingConfig
from recommender.engine import Engine, RankedItem, Request, Response
from recommender.errors import RecommenderError
from recommender.server.counters import Metrics
from recommender.server.http_errors import overloaded

_Result = TypeVar("_Result")
_Waiting = tuple[Request | Callable[[], Any], "Future[Any]", Engine]


class RankingQueue:
    """Ranks requests in groups. Threads: as many as groups may be under way in the engine."""

    def __init__(self, engine: Engine, limits: ServingConfig, metrics: Metrics) -> None:
        """Start the workers."""
        self.engine, self.metrics = engine, metrics
        self._gather = limits.gather_ms / 1000
        self._queue: queue.Queue[_Waiting] = queue.Queue(limits.waiting)
        metrics.waiting.set_function(self._queue.qsize)
        for number in range(engine.parallel):
            threading.Thread(target=self._work, name=f"rank-{number}", daemon=True).start()

    async def rank(self, request: Request, engine: Engine | None = None) -> Response:
        """Return the ranked list, by another version of the engine if one is given. Raises Fault 429 when the lane is full,
        and RecommenderError.

        Cancelled while it waits, a request is not ranked at all.
        """
        answer: Response = await self._queued(request, engine)
        return answer

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """Return the result of something else that ranks, once it is its turn. Raises as `rank` and `work` do."""
        result: _Result = await self._queued(work)
        return result

    async def _queued(self, work: Request | Callable[[], Any], engine: Engine | None = None) -> Any:
        future: Future[Any] = Future()
        try:
            self._queue.put_nowait((work, future, engine or self.engine))
        except queue.Full:
            raise overloaded() from None
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        while True:
            group = self._next_group()
            if not group:
                continue
            for engine in {id(engine): engine for _, _, engine in group}.values():
                asked = [(w, f) for w, f, other in group if other is engine and isinstance(w, Request)]
                if asked:
                    self._rank(engine, asked)
            for work, future, _ in group:
                if not isinstance(work, Request):
                    _settle(future, work)

    def _rank(self, engine: Engine, group: list[tuple[Request, Future[Any]]]) -> None:
        self.metrics.group.observe(len(group))
        try:
            answers = engine.answer_many([request for request, _ in group])
        except Exception as error:  # a worker must outlive whatever one group does
            for _, future in group:
                future.set_exception(error)
            return
        for (_, future), answer in zip(group, answers, strict=True):
            if isinstance(answer, RecommenderError):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _next_group(self) -> list[_Waiting]:
        group = [self._queue.get()]
        until = time.monotonic() + self._gather
        while len(group) < self.engine.at_once:
            with suppress(queue.Empty):
                group.append(self._queue.get(timeout=max(until - time.monotonic(), 0)))
                continue
            break
        return [one for one in group if one[1].set_running_or_notify_cancel()]


def _settle(future: Future[Any], work: Callable[[], Any]) -> None:
    try:
        future.set_result(work())
    except Exception as error:  # a worker must outlive it
        future.set_exception(error)


class WritingQueue:
    """Writes reasons, one list at a time for each of the engine's places."""

    def __init__(self, engine: Engine, limits: ServingConfig, metrics: Metrics) -> None:
        """Nothing runs until somebody asks."""
        self.engine, self.limit = engine, limits.writing
        self._places = threading.Semaphore(engine.parallel)
        self._under_way = 0
        metrics.writing.set_function(lambda: self._under_way)

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """Return the result of something else that writes. Raises Fault 429 when the lane is full, and as `work` does."""
        if self._under_way >= self.limit:
            raise overloaded()
        self._under_way += 1

        def placed() -> _Result:
            with self._places:
                return work()

        try:
            return await asyncio.to_thread(placed)
        finally:
            self._under_way -= 1

    async def stream_justifications(
        self,
        request: Request,
        items: tuple[RankedItem, ...],
        together: bool,
        one_pass: bool = False,
        engine: Engine | None = None,
    ) -> AsyncGenerator[RankedItem, None]:
        """Yield the items with their reasons as they are written. Raises Fault 429 when the lane is full.

        `together`: all sentences at once; `one_pass`: all in one text. Whoever stops listening stops the writing between
        two tokens.
        """
        if self._under_way >= self.limit:
            raise overloaded()
        self._under_way += 1
        stop, loop = threading.Event(), asyncio.get_running_loop()
        news: asyncio.Queue[RankedItem | Exception | None] = asyncio.Queue()

        def tell(what: RankedItem | Exception | None) -> None:
            with suppress(RuntimeError):  # the loop is gone when the server is
                loop.call_soon_threadsafe(news.put_nowait, what)

        def justified() -> Iterable[RankedItem]:
            if stop.is_set():
                return ()
            if one_pass:
                return (engine or self.engine).stream_justified_list(request, items, stop)
            return (engine or self.engine).stream_justifications(request, items, stop, together)

        def write() -> None:
            try:
                with self._places:
                    for item in justified():
                        tell(item)
                tell(None)
            except Exception as error:
                tell(error)
            finally:
                self._under_way -= 1

        threading.Thread(target=write, name="write", daemon=True).start()
        try:
            while (item := await news.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            stop.set()
