"""The queues: what is ranked together, what is refused, what a cancelled or failed request does to the others."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

import pytest

from recommender.config import ServingConfig
from recommender.engine import RankedItem, Request, Response
from recommender.errors import RecommenderError
from recommender.server.http_errors import HttpError
from recommender.server.http_metrics import HttpMetrics
from recommender.server.queues import RankingQueue, WritingQueue
from tests.server.http_server import RANK, Held, Slow, running, until

ITEMS = tuple(RankedItem(rank, str(rank), f"Title {rank}", -float(rank)) for rank in (1, 2, 3))


class FakeEngine:
    """Answers with the history as the note; `gate` holds up every group, and what is written before each item."""

    at_once, parallel = 4, 1

    def __init__(self):
        self.groups, self.gate, self.stopped_at = [], threading.Semaphore(0), None

    def answer_many(self, requests):
        self.groups.append([request.history for request in requests])
        self.gate.acquire()
        if any("broken" in request.history for request in requests):
            raise ZeroDivisionError("the group broke")
        return [
            RecommenderError("unknown item") if "unknown" in request.history else Response((), request.history)
            for request in requests
        ]

    def stream_justifications(self, request, items, stop, together):
        for item in items:
            self.gate.acquire()
            if stop.is_set():
                self.stopped_at = item.rank
                return
            yield item

    def stream_justified_list(self, request, items, stop):
        yield from reversed(items)


def ranking_queue(engine, **limits):
    return RankingQueue(engine, ServingConfig(**limits), HttpMetrics())


def writing_queue(engine, **limits):
    return WritingQueue(engine, ServingConfig(**limits), HttpMetrics())


async def ranked(queue, *histories):
    """Queue requests in this order, and return their tasks."""
    tasks = []
    for history in histories:
        tasks.append(asyncio.ensure_future(queue.rank(Request(history=(history,)))))
        await asyncio.sleep(0)
    return tasks


async def busy(engine, queue):
    """Give the only worker a first group to work on, and return its task."""
    (task,) = await ranked(queue, "first")
    while not engine.groups:
        await asyncio.sleep(0.001)
    return task


def test_requests_that_wait_are_ranked_together_up_to_the_engines_number():
    async def scenario():
        engine = FakeEngine()
        queue = ranking_queue(engine)
        first = await busy(engine, queue)
        tasks = await ranked(queue, *"abcdef")
        engine.gate.release(10)
        answers = await asyncio.gather(first, *tasks)
        assert [answer.notes[0] for answer in answers] == ["first", *"abcdef"]
        assert engine.groups == [[("first",)], [(name,) for name in "abcd"], [("e",), ("f",)]]

    asyncio.run(scenario())


def test_a_cancelled_request_is_not_ranked():
    async def scenario():
        engine = FakeEngine()
        queue = ranking_queue(engine)
        first = await busy(engine, queue)
        kept, cancelled = await ranked(queue, "kept", "cancelled")
        cancelled.cancel()
        await asyncio.sleep(0)
        engine.gate.release(10)
        await asyncio.gather(first, kept)
        assert engine.groups[1:] == [[("kept",)]]

    asyncio.run(scenario())


def test_a_group_whose_requests_all_left_does_not_stop_the_worker():
    async def scenario():
        engine = FakeEngine()
        queue = ranking_queue(engine)
        first = await busy(engine, queue)
        (cancelled,) = await ranked(queue, "cancelled")
        cancelled.cancel()
        await asyncio.sleep(0)
        engine.gate.release(10)
        await first
        (later,) = await ranked(queue, "later")
        assert (await later).notes == ("later",) and len(engine.groups) == 2

    asyncio.run(scenario())


def test_an_error_reaches_its_request_and_of_a_broken_group_only_who_breaks_it():
    async def scenario():
        engine = FakeEngine()
        engine.gate.release(100)
        queue = ranking_queue(engine, gather_ms=50)
        good, unknown = await asyncio.gather(*await ranked(queue, "good", "unknown"), return_exceptions=True)
        assert good.notes == ("good",) and isinstance(unknown, RecommenderError)
        names = ("with it", "broken", "after it")
        first, broken, last = await asyncio.gather(*await ranked(queue, *names), return_exceptions=True)
        assert isinstance(broken, ZeroDivisionError)
        assert first.notes == ("with it",) and last.notes == ("after it",)
        (after,) = await ranked(queue, "after")
        assert (await after).notes == ("after",)

    asyncio.run(scenario())


def test_a_full_ranking_queue_refuses():
    async def scenario():
        engine = FakeEngine()
        queue = ranking_queue(engine, waiting=2)
        first = await busy(engine, queue)
        waiting = await ranked(queue, "a", "b")
        with pytest.raises(HttpError) as refused:
            await queue.rank(Request())
        assert refused.value.status_code == 429
        assert queue.metrics.registry.get_sample_value("recommender_waiting") == 2
        engine.gate.release(10)
        await asyncio.gather(first, *waiting)

    asyncio.run(scenario())


def test_each_engine_of_a_group_ranks_its_own_requests():
    async def scenario():
        engine, other = FakeEngine(), FakeEngine()
        other.gate.release(10)
        queue = ranking_queue(engine)
        first = await busy(engine, queue)
        own, others = queue.rank(Request(history=("own",))), queue.rank(Request(history=("other",)), other)
        both = asyncio.gather(own, others)
        await asyncio.sleep(0)
        engine.gate.release(10)
        await asyncio.gather(first, both)
        assert engine.groups[1:] == [[("own",)]] and other.groups == [[("other",)]]

    asyncio.run(scenario())


def test_other_ranking_work_has_its_turn_and_its_errors():
    async def scenario():
        queue = ranking_queue(FakeEngine())
        assert await queue.run(lambda: threading.current_thread().name) == "rank-0"
        with pytest.raises(KeyError):
            await queue.run(lambda: {}["missing"])
        assert await queue.run(lambda: 7) == 7

    asyncio.run(scenario())


def test_justifications_come_one_by_one_as_they_are_written():
    async def scenario():
        engine = FakeEngine()
        stream = writing_queue(engine).stream_justifications(Request(), ITEMS, False)
        for item in ITEMS:
            engine.gate.release()
            assert await anext(stream) == item
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        one_pass = writing_queue(engine).stream_justifications(Request(), ITEMS, False, one_pass=True)
        assert [item async for item in one_pass] == list(reversed(ITEMS))

    asyncio.run(scenario())


def test_who_stops_listening_stops_the_writing():
    async def scenario():
        engine = FakeEngine()
        queue = writing_queue(engine)
        async with aclosing(queue.stream_justifications(Request(), ITEMS, False)) as stream:
            engine.gate.release()
            await anext(stream)
        engine.gate.release()
        while engine.stopped_at is None:
            await asyncio.sleep(0.001)
        assert engine.stopped_at == 2

    asyncio.run(scenario())


def test_what_waited_and_was_left_is_not_written_at_all():
    async def scenario():
        engine = FakeEngine()
        queue = writing_queue(engine)
        first = queue.stream_justifications(Request(), ITEMS, False)
        first_item = asyncio.ensure_future(anext(first))
        await asyncio.sleep(0.01)
        left = queue.stream_justifications(Request(), ITEMS, False)
        waiting = asyncio.ensure_future(anext(left))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        engine.gate.release(3)
        assert [await first_item, *[item async for item in first]] == list(ITEMS)
        third = queue.stream_justifications(Request(), ITEMS, False)
        engine.gate.release(3)  # enough for one list: the one that was left took nothing
        assert [item async for item in third] == list(ITEMS)

    asyncio.run(scenario())


def test_a_full_writing_queue_refuses_until_something_is_done():
    async def scenario():
        engine = FakeEngine()
        queue = writing_queue(engine, writing=2)
        streams = [queue.stream_justifications(Request(), ITEMS, False) for _ in range(2)]
        tasks = [asyncio.ensure_future(anext(stream)) for stream in streams]
        await asyncio.sleep(0.01)
        with pytest.raises(HttpError) as refused:
            await anext(queue.stream_justifications(Request(), ITEMS, False))
        assert refused.value.status_code == 429
        with pytest.raises(HttpError):
            await queue.run(lambda: 1)
        engine.gate.release(6)
        await asyncio.gather(*tasks)
        for stream in streams:
            assert [item async for item in stream] == list(ITEMS[1:])
        for _ in range(5):  # more than fit at once: each leaves the queue
            assert await queue.run(lambda: 1) == 1
            with pytest.raises(ZeroDivisionError):
                await queue.run(lambda: 1 // 0)

    asyncio.run(scenario())


def test_an_error_of_the_writing_is_raised_where_it_is_read():
    class Failing(FakeEngine):
        def stream_justifications(self, request, items, stop, together):
            yield items[0]
            raise RecommenderError("the writer failed")

    async def scenario():
        queue = writing_queue(Failing(), writing=1)
        for _ in range(3):  # the queue is not left full by those that failed
            stream = queue.stream_justifications(Request(), ITEMS, False)
            assert await anext(stream) == ITEMS[0]
            with pytest.raises(RecommenderError, match="the writer failed"):
                await anext(stream)

    asyncio.run(scenario())


def test_concurrent_requests_share_a_prefill(engine):
    """All workers are held; the requests that arrive meanwhile are ranked together by the first that is free again."""
    held = Held(engine)
    with running(held) as server:
        try:
            with ThreadPoolExecutor(16 + engine.parallel) as pool:
                first = []
                for number in range(engine.parallel):
                    first.append(pool.submit(server.post, RANK, {"history": ["119"], "k": 2}))
                    until(lambda number=number: len(held.group_sizes) > number)
                later = [pool.submit(server.post, RANK, {"history": [str(100 + n)], "k": 2}) for n in range(16)]
                until(lambda: server.metric("recommender_waiting") == 16)
                held.places.release()
                until(lambda: len(held.group_sizes) > engine.parallel)
                held.places.release(100)
                answers = [answer.result() for answer in later]
                assert all(answer.result()[0] == 200 for answer in first)
        finally:
            held.places.release(100)
    assert all(status == 200 for status, _, _ in answers)
    assert sum(held.group_sizes[engine.parallel :]) == 16 and max(held.group_sizes) > 4
    for n, (_, _, text) in enumerate(answers):
        assert str(100 + n) not in {item["item_id"] for item in json.loads(text)["items"]}


def test_beyond_the_queue_429_says_when_to_come_again(embedded):
    with running(Slow(embedded, 0.5), waiting=2) as server, ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: server.post(RANK, {"k": 2}), range(40)))
    refused = [headers for status, headers, _ in answers if status == 429]
    assert refused and all(headers["Retry-After"] == "1" for headers in refused)
    assert {status for status, _, _ in answers} == {200, 429}
