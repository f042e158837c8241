"""Where requests wait for the engine: one queue ranks them in small groups, the other writes justifications. Both are
bounded; a request that finds its queue full is refused.

Concurrent requests share one prefill (dynamic batching): a worker takes the first request that waits and those that arrive
within a few milliseconds, up to as many as the engine gains from.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from recommender.config import ServingConfig
from recommender.engine import Engine, RankedItem, Request, Response
from recommender.engine.background import AbandonedError, check_stop, in_background
from recommender.errors import EngineLostError, RecommenderError
from recommender.server.http_errors import overloaded
from recommender.server.http_metrics import HttpMetrics

_Result = TypeVar("_Result")
#: how often what waits for the engine looks whether its client has left
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, eq=False)
class _Job:
    """A request, or a function that ranks in another way; which engine works on it, and where its result goes."""

    work: Request | Callable[[], Any]
    engine: Engine
    future: Future[Any] = field(default_factory=Future)


class RankingQueue:
    """Ranks requests in groups, with one thread for each group that the engine can work on at the same time."""

    def __init__(self, engine: Engine, limits: ServingConfig, metrics: HttpMetrics) -> None:
        """Start the threads."""
        self.engine, self.metrics = engine, metrics
        self._gather_seconds = limits.gather_ms / 1000
        self._jobs: queue.Queue[_Job | None] = queue.Queue(limits.waiting)
        metrics.waiting.set_function(self._jobs.qsize)
        self._busy_since: list[float | None] = [None] * engine.parallel
        for number in range(engine.parallel):
            threading.Thread(target=self._work, args=(number,), name=f"rank-{number}", daemon=True).start()

    def close(self) -> None:
        """End the threads, which would keep the engine in memory; nothing may wait any more, and nothing may come."""
        for _ in self._busy_since:
            self._jobs.put(None)

    async def rank(self, request: Request, engine: Engine | None = None) -> Response:
        """Return the ranked list of a request. `engine`: this one with another adapter, where the request names one.

        A request that is cancelled while it waits is not ranked. Raises HttpError 429 if the queue is full, and
        RecommenderError as the engine does.
        """
        response: Response = await self._result(_Job(request, engine or self.engine))
        return response

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """Return the result of `work`, which ranks in another way, in its turn. Raises as `rank` and `work` do."""
        result: _Result = await self._result(_Job(work, self.engine))
        return result

    async def _result(self, job: _Job) -> Any:
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise overloaded() from None
        return await asyncio.wrap_future(job.future)

    @property
    def stuck_seconds(self) -> float:
        """For how long nothing has come out of the engine although all of it is taken; 0 while some of it is free."""
        since = [began for began in self._busy_since if began is not None]
        return time.monotonic() - max(since) if len(since) == len(self._busy_since) else 0.0

    def _work(self, number: int) -> None:
        while True:
            self._busy_since[number] = None
            first = self._jobs.get()
            if first is None:
                return
            jobs = self._group_of(first)
            self._busy_since[number] = time.monotonic()
            requests = [job for job in jobs if isinstance(job.work, Request)]
            for engine in {id(job.engine): job.engine for job in requests}.values():
                self._rank(engine, [job for job in requests if job.engine is engine])
            for job in jobs:
                if not isinstance(job.work, Request):
                    _settle(job.future, job.work)

    def _rank(self, engine: Engine, jobs: Sequence[_Job]) -> None:
        """Settle each of a group. If the group fails each is tried alone, so that only who makes it fail has the error."""
        self.metrics.group_size.observe(len(jobs))
        try:
            answers = engine.answer_many([job.work for job in jobs if isinstance(job.work, Request)])
        except Exception as error:  # the worker must survive whatever a group raises
            if len(jobs) == 1 or isinstance(error, EngineLostError):
                for job in jobs:
                    job.future.set_exception(error)
            else:
                for job in jobs:
                    self._rank(engine, [job])
            return
        for job, answer in zip(jobs, answers, strict=True):
            if isinstance(answer, RecommenderError):
                job.future.set_exception(answer)
            else:
                job.future.set_result(answer)

    def _group_of(self, first: _Job) -> list[_Job]:
        """Return a job with those that follow shortly, but for those that were cancelled."""
        jobs = [first]
        deadline = time.monotonic() + self._gather_seconds
        with suppress(queue.Empty):
            while len(jobs) < self.engine.at_once:
                following = self._jobs.get(timeout=max(deadline - time.monotonic(), 0))
                if following is None:
                    self._jobs.put(None)
                    break
                jobs.append(following)
        return [job for job in jobs if job.future.set_running_or_notify_cancel()]


def _settle(future: Future[Any], work: Callable[[], Any]) -> None:
    try:
        future.set_result(work())
    except Exception as error:  # the worker must survive it
        future.set_exception(error)


class WritingQueue:
    """Writes justifications, as many lists at a time as the engine can work on."""

    def __init__(self, engine: Engine, limits: ServingConfig, metrics: HttpMetrics) -> None:
        """Nothing runs before the first request."""
        self.engine, self.limit = engine, limits.writing
        self._engine_slots = threading.Semaphore(engine.parallel)
        self._in_queue = self._working = 0
        self._progressed = time.monotonic()
        self._count_lock = threading.Lock()
        metrics.writing.set_function(lambda: self._in_queue)

    def _enter(self) -> None:
        """Count a job in. Raises HttpError 429 if the queue is full."""
        with self._count_lock:
            if self._in_queue >= self.limit:
                raise overloaded()
            self._in_queue += 1

    def _leave(self) -> None:
        with self._count_lock:
            self._in_queue -= 1

    @property
    def stuck_seconds(self) -> float:
        """For how long nothing has been written although all of the engine is taken; 0 while some of it is free."""
        with self._count_lock:
            return time.monotonic() - self._progressed if self._working >= self.engine.parallel else 0.0

    def _progress(self, begun: int = 0) -> None:
        """Note that something was written, and how many have begun (1) or ended (-1)."""
        with self._count_lock:
            self._working += begun
            self._progressed = time.monotonic()

    @contextmanager
    def _turn(self, stop: threading.Event) -> Iterator[None]:
        """Wait for the engine and work on it in the background. Raises AbandonedError if `stop` is set before."""
        with in_background(stop):
            while not self._engine_slots.acquire(timeout=_LOOK_SECONDS):
                check_stop()
            self._progress(1)
            try:
                check_stop()
                yield
            finally:
                self._progress(-1)
                self._engine_slots.release()

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """Return the result of `work`, which writes, in its turn. Raises HttpError 429 if the queue is full, and as
        `work` does.

        Who is cancelled leaves the queue once `work` has ended, which it does between two of its groups. The thread is the
        work's own: those of a shared pool would be taken by what waits, and with them whoever else uses the pool.
        """
        self._enter()
        stop, result = threading.Event(), Future[_Result]()
        result.set_running_or_notify_cancel()

        def in_turn() -> None:
            try:
                with self._turn(stop):
                    value = work()
            except Exception as error:
                self._leave()
                result.set_exception(error)
            else:
                self._leave()
                result.set_result(value)

        threading.Thread(target=in_turn, name="write", daemon=True).start()
        try:
            return await asyncio.wrap_future(result)
        finally:
            stop.set()

    async def stream_justifications(
        self,
        request: Request,
        items: tuple[RankedItem, ...],
        together: bool,
        one_pass: bool = False,
        engine: Engine | None = None,
    ) -> AsyncGenerator[RankedItem, None]:
        """Yield the items with their justifications as they are written. Raises HttpError 429 if the queue is full.

        `together`: write all justifications at once; `one_pass`: all of them as one text. Closing this generator stops the
        writing between two tokens.
        """
        self._enter()
        stop, loop = threading.Event(), asyncio.get_running_loop()
        results: asyncio.Queue[RankedItem | Exception | None] = asyncio.Queue()

        def send(result: RankedItem | Exception | None) -> None:
            with suppress(RuntimeError):  # the loop is closed when the server is
                loop.call_soon_threadsafe(results.put_nowait, result)

        def write() -> None:
            try:
                with self._turn(stop):
                    for item in self._justified(engine or self.engine, request, items, stop, together, one_pass):
                        self._progress()
                        send(item)
                end: Exception | None = None
            except AbandonedError:
                end = None
            except Exception as error:
                end = error
            self._leave()
            send(end)

        threading.Thread(target=write, name="write", daemon=True).start()
        try:
            while (result := await results.get()) is not None:
                if isinstance(result, Exception):
                    raise result
                yield result
        finally:
            stop.set()

    @staticmethod
    def _justified(
        engine: Engine,
        request: Request,
        items: tuple[RankedItem, ...],
        stop: threading.Event,
        together: bool,
        one_pass: bool,
    ) -> Iterable[RankedItem]:
        if one_pass:
            return engine.stream_justified_list(request, items, stop)
        return engine.stream_justifications(request, items, stop, together)
