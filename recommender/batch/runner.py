"""Runs a batch: groups of requests go to one or several workers, and their answers are written in the input's order."""

from __future__ import annotations

import logging
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from recommender.adapters.shipped import check_present
from recommender.batch.request_files import PartialOutput, batch_identity, check_suffix, read_requests
from recommender.batch.request_lines import BatchLine, answer_line
from recommender.engine import Engine, Response, open_engine
from recommender.errors import EngineLostError, RecommenderError
from recommender.progress import Progress

logger = logging.getLogger(__name__)
GROUP_SIZE = 16
AnswerLines = list[dict[str, Any]]
Group = list[BatchLine]
AnswerGroup = Callable[[Group], AnswerLines]


@dataclass(frozen=True)
class BatchOptions:
    """The engine that answers. `workers`: processes with an embedded engine each, or connections to a served one."""

    engine: str = "embedded"
    workers: int = 1
    items: str | None = None
    engine_options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchReport:
    """How many lines the output has, how many of them this run wrote, and how many of those are errors."""

    lines: int
    written_now: int
    errors: int


def run_batch(
    model: str, source: Path, output: Path, options: BatchOptions | None = None, progress: Progress | None = None
) -> BatchReport:
    """Answer every request of `source` in `output`, .jsonl or .parquet; a partial output is resumed.

    Raises DataError for files that cannot be used, what the engine raises for a model that cannot be opened, and
    EngineLostError if its server goes away: the lines written until then stay, and the next run resumes behind them.
    """
    options = options or BatchOptions()
    check_suffix(output)
    lines = list(read_requests(source))
    partial = PartialOutput(output, batch_identity(source, model, options.items, options.engine))
    report_progress = progress or (lambda *_: None)
    written, errors = partial.lines_done, 0
    with closing(partial), _workers(model, options) as (pool, answer, plain_note):
        if any(line.request is not None and line.request.explain for line in lines):
            pool.submit(plain_note).add_done_callback(_tell)
        for answers in _in_order(pool, answer, _groups(lines[partial.lines_done :]), 2 * options.workers):
            partial.write(answers)
            written += len(answers)
            errors += sum(map(_is_error, answers))
            report_progress("batch", written, len(lines))
    partial.finish()
    return BatchReport(written, written - partial.lines_done, errors)


def _is_error(answer: dict[str, Any]) -> bool:
    return "error" in (answer["response"]["body"] if "response" in answer else answer)


def _groups(lines: Sequence[BatchLine]) -> Iterator[Group]:
    remaining = iter(lines)
    while group := list(islice(remaining, GROUP_SIZE)):
        yield group


def _in_order(pool: Executor, answer: AnswerGroup, groups: Iterable[Group], ahead: int) -> Iterator[AnswerLines]:
    """Yield the answers in the order of the groups, with at most `ahead` groups under way."""
    pending: deque[Future[AnswerLines]] = deque()
    for group in groups:
        pending.append(pool.submit(answer, group))
        if len(pending) >= ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


@contextmanager
def _workers(model: str, options: BatchOptions) -> Iterator[tuple[Executor, AnswerGroup, Callable[[], str | None]]]:
    """Open the engine where it will work, in each worker process or here.

    Yields the pool, what it has to do, and what tells there why sentences are plain, if they are.
    """
    if options.engine == "embedded" and options.workers > 1:
        check_present(model)  # a worker process could only break the pool
        arguments = (options.engine, model, options.items, options.engine_options)
        context = multiprocessing.get_context("spawn")
        with _cancelled_at_end(ProcessPoolExecutor(options.workers, context, _open_in_process, arguments)) as pool:
            yield pool, _answer_in_process, _plain_note_in_process
        return
    with (
        closing(open_engine(options.engine, model, options.items, **options.engine_options)) as engine,
        _cancelled_at_end(ThreadPoolExecutor(options.workers)) as pool,
    ):
        yield pool, lambda group: answer_group(engine, group), lambda: engine.plain_note


def _tell(plain_note: Future[str | None]) -> None:
    """Say once for a batch why its sentences are plain, if they are."""
    if not plain_note.cancelled() and plain_note.exception() is None and plain_note.result() is not None:
        logger.warning("%s", plain_note.result())


@contextmanager
def _cancelled_at_end(pool: Executor) -> Iterator[Executor]:
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


_process_engine: Engine | None = None
"""The engine of a worker process."""


def _open_in_process(name: str, model: str, items: str | None, options: dict[str, Any]) -> None:
    global _process_engine
    _process_engine = open_engine(name, model, items, **options)


def _answer_in_process(group: Group) -> AnswerLines:
    assert _process_engine is not None
    return answer_group(_process_engine, group)


def _plain_note_in_process() -> str | None:
    assert _process_engine is not None
    return _process_engine.plain_note


def answer_group(engine: Engine, group: Sequence[BatchLine]) -> AnswerLines:
    """Answer a group of lines together; whatever goes wrong with one becomes its answer. Raises EngineLostError."""
    answers: dict[int, Response | RecommenderError | str] = {
        line.number: RecommenderError(line.error or "") for line in group if line.request is None
    }
    with_request = [line for line in group if line.request is not None]
    answers |= zip((line.number for line in with_request), _answers(engine, with_request), strict=True)
    return [answer_line(line, answers[line.number]) for line in group]


def _answers(engine: Engine, lines: Sequence[BatchLine]) -> Sequence[Response | RecommenderError | str]:
    requests = [line.request for line in lines if line.request is not None]
    try:
        return engine.answer_many(requests) if requests else []
    except EngineLostError:  # nothing was answered, and no line may say that it was
        raise
    except Exception as error:  # one request may break what is computed for all: then each is tried alone
        if len(lines) > 1:
            return [answer for line in lines for answer in _answers(engine, [line])]
        logger.exception("a request of a batch failed")
        return [error if isinstance(error, RecommenderError) else f"{type(error).__name__}: {error}"]
