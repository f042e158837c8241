"""Runs a batch: groups of requests go to one or several workers, and their answers are written in the input's order."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from recommender import assets
from recommender.adapters.shipped import check_present
from recommender.batch.executors import DaemonExecutor, HereExecutor, ended
from recommender.batch.request_files import PartialOutput, batch_identity, read_requests
from recommender.batch.request_lines import BatchLine, answer_line
from recommender.config import Config
from recommender.data.paths import check_answers
from recommender.engine import Engine, Response, open_engine
from recommender.errors import CheckpointError, DataError, EngineLostError, RecommenderError
from recommender.model.checkpoint import CARD, CONFIG, package_versions, resolve
from recommender.model.manifest import read_manifest
from recommender.progress import Progress

logger = logging.getLogger(__name__)
GROUP_SIZE = 16
AnswerLines = list[dict[str, Any]]
Group = list[BatchLine]
AnswerGroup = Callable[[Group], AnswerLines]
Facts = dict[str, Any]


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

    An interrupt ends it within a second: lines that are written stay, and the next run goes on behind them. Raises
    DataError for files that cannot be used, RecommenderError if somebody else writes to `output`, what the engine raises
    for a model that cannot be opened, and EngineLostError if its server goes away: what was written until then stays, too.
    """
    options = options or BatchOptions()
    check_answers(output)
    lines = list(read_requests(source))
    facts = facts_of_model(model, options.items)
    flags = options.engine_options.get("flags")
    partial = PartialOutput(output, batch_identity(source, options.engine, flags, **told_engine(options), **facts))
    with closing(partial), _saying_what_is_kept(partial, len(lines)), _workers(model, options, facts) as workers:
        return _answer_rest(lines, partial, workers, progress or (lambda *_: None))


def _answer_rest(
    lines: Sequence[BatchLine], partial: PartialOutput, workers: _Workers, progress: Progress
) -> BatchReport:
    """Answer the lines that the partial output does not hold yet, and finish it."""
    written, errors = partial.lines_done, 0
    if any(line.request is not None and line.request.explain for line in lines):
        workers.pool.submit(workers.plain_note).add_done_callback(_tell)
    groups = groups_of(lines[partial.lines_done :])
    for answers in in_order(workers.pool, workers.answer, groups, workers.ahead):
        partial.write(answers)
        written += len(answers)
        errors += sum(map(is_error, answers))
        progress("batch", written, len(lines))
    partial.finish()
    return BatchReport(written, written - partial.lines_done, errors)


def facts_of_model(model: str, items: str | None) -> Facts:
    """Return hashes of what answers hang on: the model's files, its base, the items, packages; not where they lie.

    Of what is no folder of a model the name only: opening it says what is wrong.
    """
    folder = resolve(model)
    try:
        digests = {name: digest for name, digest in read_manifest(folder)["files"].items() if name != CARD}
        config = Config.load(next(path for path in (folder / CONFIG, folder / "prompting" / CONFIG) if path.is_file()))
    except (CheckpointError, StopIteration):
        return {"model": model}
    tables = {"base model": config.base.llm, "items": items or config.data.items}
    named = {name: assets.identity(source) for name, source in tables.items()}
    return {
        "model": sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest(),
        **named,
        "packages": package_versions(),
    }


def told_engine(options: BatchOptions) -> Facts:
    """Return what the engine was told that answers hang on: the bits of its matrices, and the servers that are joined.

    What a server answers with is not known from here; another one may hold another model.
    """
    given = options.engine_options
    servers = {f"server at {name}": given[name] for name in ("rank_url", "write_url", "listen_url") if given.get(name)}
    return servers | ({"bits": given["bits"]} if given.get("bits") else {})


def open_unchanged(model: str, options: BatchOptions, facts: Facts) -> Engine:
    """Open the engine. Raises DataError if somebody has put another model into the folder than the one of `facts`."""
    engine = open_engine(options.engine, model, options.items, **options.engine_options)
    if facts_of_model(model, options.items) != facts:
        engine.close()
        raise DataError(f"{model}: was changed while it was opened", "start the batch again once it is written")
    return engine


@contextmanager
def _saying_what_is_kept(output: PartialOutput, lines: int) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        with output.path.open("rb") as file:
            done = sum(line.endswith(b"\n") for line in file)
        logger.warning(
            "stopped: %d of %d lines are kept in %s; the same command goes on from there", done, lines, output.path
        )
        raise


def is_error(answer: dict[str, Any]) -> bool:
    """Return whether a line of the output is an error."""
    return "error" in (answer["response"]["body"] if "response" in answer else answer)


def groups_of(lines: Iterable[BatchLine]) -> Iterator[Group]:
    """Put lines together that are only ranked; one that is explained takes seconds by itself and is written by itself."""
    group: Group = []
    for line in lines:
        slow = line.request is not None and line.request.explain
        if group and (slow or len(group) == GROUP_SIZE):
            yield group
            group = []
        group.append(line)
        if slow:
            yield group
            group = []
    if group:
        yield group


def in_order(pool: Executor, answer: AnswerGroup, groups: Iterable[Group], ahead: int) -> Iterator[AnswerLines]:
    """Yield the answers in the order of the groups, with at most `ahead` groups under way."""
    pending: deque[Future[AnswerLines]] = deque()
    for group in groups:
        pending.append(pool.submit(answer, group))
        if len(pending) >= ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


@dataclass(frozen=True)
class _Workers:
    """Where groups are answered, by what, and how many of them at once.

    `plain_note`: tells there why sentences are plain, if they are.
    """

    pool: Executor
    answer: AnswerGroup
    plain_note: Callable[[], str | None]
    ahead: int


@contextmanager
def _workers(model: str, options: BatchOptions, facts: Facts) -> Iterator[_Workers]:
    """Open the engine where it will work: in each worker process, or here.

    An interrupt waits for nothing: answers that were not written are computed again by the next run.
    """
    if options.engine == "embedded" and options.workers > 1:
        check_present(model)  # before processes start, which takes them ten seconds
        context, arguments = multiprocessing.get_context("spawn"), (model, options, facts)
        with ended(ProcessPoolExecutor(options.workers, context, _open_in_process, arguments)) as pool:
            yield _Workers(pool, _answer_in_process, _plain_note_in_process, 2 * options.workers)
        return
    with closing(open_unchanged(model, options, facts)) as engine:
        if options.workers == 1:
            yield _Workers(HereExecutor(), lambda group: answer_group(engine, group), lambda: engine.plain_note, 1)
            return
        with ended(DaemonExecutor(options.workers)) as pool:
            ahead = 2 * options.workers
            yield _Workers(pool, lambda group: answer_group(engine, group), lambda: engine.plain_note, ahead)


def _tell(plain_note: Future[str | None]) -> None:
    """Say once for a batch why its sentences are plain, if they are."""
    if not plain_note.cancelled() and plain_note.exception() is None and plain_note.result() is not None:
        logger.warning("%s", plain_note.result())


_opened_in_process: Engine | RecommenderError | None = None
"""The engine of a worker process, or why it has none."""


def _open_in_process(model: str, options: BatchOptions, facts: Facts) -> None:
    global _opened_in_process
    prepare_process()
    try:
        _opened_in_process = open_unchanged(model, options, facts)
    except RecommenderError as error:
        _opened_in_process = error


def prepare_process() -> None:
    """Let this worker process end with its parent only."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes; the first one ends the others
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _engine_of_process() -> Engine:
    if isinstance(_opened_in_process, RecommenderError):
        raise _opened_in_process
    assert _opened_in_process is not None
    return _opened_in_process


def _answer_in_process(group: Group) -> AnswerLines:
    return answer_group(_engine_of_process(), group)


def _plain_note_in_process() -> str | None:
    return _engine_of_process().plain_note


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
