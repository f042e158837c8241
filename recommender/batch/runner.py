"""Running a batch: groups of requests go to one or several workers, their answers are written in the input's order."""

from __future__ import annotations

import logging
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from recommender.batch.request_files import PartialOutput, check_suffix, identity, read_requests
from recommender.batch.request_lines import BatchLine, answer_line
from recommender.engine import Engine, Response, open_engine
from recommender.errors import EngineLostError, RecommenderError
from recommender.progress import Progress

logger = logging.getLogger(__name__)
GROUP = 16
Lines = list[dict[str, Any]]


@dataclass(frozen=True)
class Options:
    """Which engine answers, with how many workers: processes of the embedded engine, connections to a served one."""

    engine: str = "embedded"
    workers: int = 1
    items: str | None = None
    engine_options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchReport:
    """How many lines were written in all, how many by this run, and how many of these are errors."""

    lines: int
    written_now: int
    errors: int


def run_batch(
    model: str, source: Path, output: Path, options: Options | None = None, progress: Progress | None = None
) -> BatchReport:
    """Answer every request of `source` in `output`, .jsonl or .parquet; a partial output is gone on with.

    Raises DataError for files that cannot be used, what the engine raises for a model that cannot be opened, and
    EngineLostError if its server goes away; what was written until then stays, and the next run goes on behind it.
    """
    options = options or Options()
    check_suffix(output)
    requests = list(read_requests(source))
    partial = PartialOutput(output, identity(source, model, options.items, options.engine))
    steps = progress or (lambda *_: None)
    written, errors = partial.done, 0
    with closing(partial), _workers(model, options) as (pool, answer):
        for lines in _in_order(pool, answer, _groups(requests[partial.done :]), 2 * options.workers):
            partial.write(lines)
            written += len(lines)
            errors += sum(_is_error(line) for line in lines)
            steps("batch", written, len(requests))
    partial.finish()
    return BatchReport(written, written - partial.done, errors)


def _is_error(line: dict[str, Any]) -> bool:
    return "error" in (line["response"]["body"] if "response" in line else line)


def _groups(requests: Sequence[BatchLine]) -> Iterator[list[BatchLine]]:
    rest = iter(requests)
    while group := list(islice(rest, GROUP)):
        yield group


def _in_order(
    pool: Executor, answer: Callable[[list[BatchLine]], Lines], groups: Iterable[list[BatchLine]], ahead: int
) -> Iterator[Lines]:
    """Yield the groups' lines in the order of the groups, with at most `ahead` groups under way."""
    waiting: deque[Future[Lines]] = deque()
    for group in groups:
        waiting.append(pool.submit(answer, group))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


class _workers:  # noqa: N801  (used as a function)
    """Open the engine where it will work: here for one worker, else once in each process."""

    def __init__(self, model: str, options: Options) -> None:
        self.model, self.options = model, options
        self.engine: Engine | None = None

    def __enter__(self) -> tuple[Executor, Callable[[list[BatchLine]], Lines]]:
        options = self.options
        start = (options.engine, self.model, options.items, options.engine_options)
        if options.engine == "embedded" and options.workers > 1:
            context = multiprocessing.get_context("spawn")
            self.pool: Executor = ProcessPoolExecutor(options.workers, context, _open_here, start)
            return self.pool, _answer_here
        engine = self.engine = open_engine(options.engine, self.model, options.items, **options.engine_options)
        self.pool = ThreadPoolExecutor(options.workers)
        return self.pool, lambda group: answer_group(engine, group)

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)
        if self.engine is not None:
            self.engine.close()


_here: Engine | None = None


def _open_here(name: str, model: str, items: str | None, options: dict[str, Any]) -> None:
    global _here
    _here = open_engine(name, model, items, **options)


def _answer_here(group: list[BatchLine]) -> Lines:
    assert _here is not None
    return answer_group(_here, group)


def answer_group(engine: Engine, group: Sequence[BatchLine]) -> Lines:
    """Answer a group of requests together; whatever goes wrong with one becomes its line."""
    asked = [one for one in group if one.question is not None]
    answers = _answers(engine, asked)
    found = dict(zip((one.number for one in asked), answers, strict=True))
    wrong = {one.number: RecommenderError(one.wrong or "") for one in group if one.question is None}
    return [answer_line(one, (found | wrong)[one.number]) for one in group]


def _answers(engine: Engine, asked: Sequence[BatchLine]) -> Sequence[Response | RecommenderError | str]:
    questions = [one.question for one in asked if one.question is not None]
    try:
        return engine.answer_many(questions) if questions else []
    except EngineLostError:  # nothing was answered, and no line may say that it was
        raise
    except Exception as error:  # one request may break what is computed for all: then each has its own try
        if len(asked) > 1:
            return [answer for one in asked for answer in _answers(engine, [one])]
        logger.exception("a request of a batch failed")
        return [error if isinstance(error, RecommenderError) else f"{type(error).__name__}: {error}"]
