"""Batches of many parts: a folder of request files in, a file of answers for each out; a part is answered whole or not.

Beside the answers the folder keeps `.batch`: of which batch it is, and of each part that is done, what it was made of.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from recommender.batch.executors import DaemonExecutor, HereExecutor, ended
from recommender.batch.request_files import check_identity, read_requests, settings_identity, write_parquet
from recommender.batch.request_lines import BatchLine
from recommender.batch.runner import (
    AnswerLines,
    BatchOptions,
    Facts,
    answer_group,
    facts_of_model,
    groups_of,
    in_order,
    is_error,
    open_unchanged,
    prepare_process,
    told_engine,
)
from recommender.cluster import Cluster, Failed
from recommender.data.paths import parts_of
from recommender.errors import DataError, EngineLostError, RecommenderError
from recommender.files import check_output_folder, locked, remove_leftovers, replacing, write_text
from recommender.progress import Progress
from recommender.strict.json_documents import json_text

BOOKS = ".batch"
_IDENTITY, _TRIES = "identity.json", "tries"
#: groups under way in the servers of a worker, at least: one alone would leave them idle between two
_SERVED_GROUPS = 4


@dataclass(frozen=True)
class PartReport:
    """A part that is answered.

    input: hash of its requests. lines, errors: how many answers, and how many of them are errors; unreadable: how many
    lines were no requests at all, first_unreadable: the first of them. seconds, processor: what answering took, by the clock
    and of the processor; worker: the process. new: whether it was answered now.
    """

    input: str
    lines: int
    errors: int
    unreadable: int
    first_unreadable: str | None
    seconds: float
    processor: float
    worker: str
    new: bool = True


@dataclass(frozen=True)
class PartsReport:
    """How many parts and lines are answered, how many of the lines were written now, how many are errors.

    notes: names each part with lines that are no requests, and the first of them. failed: each part without answers, and
    why.
    processor: seconds of the processor that answering took now.
    """

    parts: int
    lines: int
    written_now: int
    errors: int
    processor: float = 0.0
    notes: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """Return the numbers, as a command prints them."""
        return {
            "parts": self.parts,
            "failed": len(self.failed),
            "lines": self.lines,
            "written_now": self.written_now,
            "errors": self.errors,
        }

    def raise_failures(self) -> None:
        """Raise DataError if parts have no answers: it names the first of them."""
        if self.failed:
            more = f" (and {len(self.failed) - 1} more parts)" if len(self.failed) > 1 else ""
            raise DataError(
                f"{self.failed[0]}{more}",
                "the other parts are answered; mend it, and the same command does what is missing",
            )


def run_parts(
    model: str,
    source: Path,
    target: Path,
    options: BatchOptions | None = None,
    progress: Progress | None = None,
    cluster: Cluster | None = None,
) -> PartsReport:
    """Answer each request file of the folder `source` in a file of the same name in the folder `target`.

    A file appears when all of its answers are written, so a run that was killed goes on with the parts that are missing.
    Parts that are added later are answered by the same command. What is wrong with one part stops no other one.
    `custom_id` is distinct within a part; nothing compares parts with each other. cluster: where parts are answered, by
    default in `options.workers` processes here; its machines see model, tables and both folders under the same paths.

    Raises DataError for folders that cannot be used, RecommenderError if somebody else writes to `target`, and what the
    engine raises for a model that cannot be opened.
    """
    options, report = options or BatchOptions(), progress or (lambda *_: None)
    check_output_folder(target)
    parts = parts_of(source)
    facts = facts_of_model(model, options.items)
    identity = settings_identity(options.engine, options.engine_options.get("flags"), **told_engine(options), **facts)
    with locked(target, "batch"):
        _claim(target, identity)
        arguments = (model, options, facts, target.absolute(), identity)
        tasks = {path.name: path.absolute() for path in parts}
        done: dict[str, PartReport | Failed] = {}
        report("batch, parts", 0, len(parts))
        for name, result in _answered(arguments, tasks, options.workers, cluster):
            done[name] = result
            report("batch, parts", len(done), len(parts))
        remove_leftovers(target)  # of workers that were killed
        return _sum({name: done.get(name, Failed("no worker answered it")) for name in tasks}, target)


def _sum(done: dict[str, PartReport | Failed], target: Path) -> PartsReport:
    """Add up what was done; a part is answered only if its answers are seen from here."""
    reports = {name: part for name, part in done.items() if isinstance(part, PartReport)}
    failed = [
        part.message if name in part.message else f"{name}: {part.message}"
        for name, part in done.items()
        if isinstance(part, Failed)
    ]
    unseen = [name for name in reports if not (target / name).is_file()]
    failed += [f"{name}: its answers are not in {target}, which all machines must share" for name in unseen]
    notes = [
        f"{name}: {part.unreadable} lines are no requests; {part.first_unreadable}"
        for name, part in reports.items()
        if part.unreadable
    ]
    new = [part for part in reports.values() if part.new]
    return PartsReport(
        parts=len(reports) - len(unseen),
        lines=sum(part.lines for part in reports.values()),
        written_now=sum(part.lines for part in new),
        errors=sum(part.errors for part in reports.values()),
        processor=sum(part.processor for part in new),
        notes=tuple(notes),
        failed=tuple(failed),
    )


def _claim(target: Path, identity: str) -> None:
    """Make `target` the folder of this batch. Raises DataError if it holds something else."""
    known = target / BOOKS / _IDENTITY
    if known.is_file():
        check_identity(known.read_text(encoding="utf-8"), identity, target, f"name another output, or remove {target}")
        return
    others = [path.name for path in target.iterdir() if path.name != BOOKS] if target.is_dir() else []
    if others:
        raise DataError(
            f"{target}: a folder with other things in it ({others[0]})", "name a new folder for the answers"
        )
    write_text(known, identity)


def _answered(
    arguments: tuple[Any, ...], tasks: dict[str, Path], workers: int, cluster: Cluster | None
) -> Iterator[tuple[str, PartReport | Failed]]:
    """Yield each part's name and what became of it, as they are done."""
    tries = arguments[3] / BOOKS / _TRIES
    if cluster is not None:
        yield from cluster.map(PartWorker, arguments, tasks, tries)
    elif workers == 1 or arguments[1].engine != "embedded":  # servers work for several threads of one process
        with closing(PartWorker(*arguments)) as worker:
            for name, path in tasks.items():
                yield name, _tried(worker, path)
    else:
        yield from _in_processes(arguments, tasks, workers)


def _in_processes(
    arguments: tuple[Any, ...], tasks: dict[str, Path], workers: int
) -> Iterator[tuple[str, PartReport | Failed]]:
    with ended(ProcessPoolExecutor(workers, get_context("spawn"), _load_in_process, arguments)) as pool:
        futures = {pool.submit(_answer_in_process, path): name for name, path in tasks.items()}
        for future in as_completed(futures):
            result = future.result()
            if isinstance(result, Failed) and result.opening:
                raise result.error()
            yield futures[future], result


_worker_of_process: PartWorker | Failed | None = None


def _load_in_process(*arguments: Any) -> None:
    global _worker_of_process
    prepare_process()
    try:
        _worker_of_process = PartWorker(*arguments)
    except RecommenderError as error:
        _worker_of_process = Failed.of(error, opening=True)


def _answer_in_process(path: Path) -> PartReport | Failed:
    worker = _worker_of_process
    assert worker is not None
    return worker if isinstance(worker, Failed) else _tried(worker, path)


def _tried(worker: PartWorker, path: Path) -> PartReport | Failed:
    try:
        return worker(path)
    except EngineLostError:
        raise
    except RecommenderError as error:
        return Failed.of(error)


class PartWorker:
    """Opens an engine once, and answers parts with it."""

    def __init__(self, model: str, options: BatchOptions, facts: Facts, target: Path, identity: str) -> None:
        """Open the engine. Raises DataError where the folder of the batch is not seen, and what the engine raises."""
        books = target / BOOKS / _IDENTITY
        if not books.is_file() or books.read_text(encoding="utf-8") != identity:
            raise DataError(
                f"{target}: is not seen by {socket.gethostname()}", "name an output in a folder that all machines share"
            )
        self._open = partial(open_unchanged, model, options, facts)
        self._engine = self._open()
        self._target = target
        self._groups = 1 if options.engine == "embedded" else max(options.workers, _SERVED_GROUPS)

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

    def __call__(self, source: Path) -> PartReport:
        """Answer the requests of a file, unless that was done. Raises DataError naming file and row that cannot be read."""
        answers, book = self._target / source.name, self._target / BOOKS / f"{source.name}.json"
        digest = _digest(source)
        if answers.is_file() and book.is_file():
            known = PartReport(**json.loads(book.read_text(encoding="utf-8")))
            if known.input != digest:
                raise DataError(
                    f"{source}: its requests are others than those that {answers} answers",
                    f"remove {answers} to have them answered",
                )
            return replace(known, new=False)
        book.unlink(missing_ok=True)
        try:
            report = self._write(source, answers, digest)
        except EngineLostError:  # a server of this worker's own: begun anew, it may answer
            self._engine.close()
            self._engine = self._open()
            report = self._write(source, answers, digest)
        write_text(book, json.dumps(asdict(report)))
        return report

    def _write(self, source: Path, answers: Path, digest: str) -> PartReport:
        """Write the answers of a part under a temporary name, which becomes theirs when all are on disk."""
        counts = _Counts()
        start, worked = time.perf_counter(), time.process_time()
        with replacing(answers) as temporary:
            table = answers.suffix == ".parquet"
            with _lines_file(temporary, table) as lines, lines.open("w", encoding="utf-8") as file:
                for answers_of_group in self._answers(counts.counted(read_requests(source))):
                    counts.errors += sum(map(is_error, answers_of_group))
                    file.writelines(json_text(answer) + "\n" for answer in answers_of_group)
                file.flush()
                if table:
                    write_parquet(lines, temporary)
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
        return PartReport(
            input=digest,
            lines=counts.lines,
            errors=counts.errors,
            unreadable=counts.unreadable,
            first_unreadable=counts.first_unreadable,
            seconds=time.perf_counter() - start,
            processor=time.process_time() - worked,
            worker=f"{os.getpid()} on {socket.gethostname()}",
        )

    def _answers(self, lines: Iterator[BatchLine]) -> Iterator[AnswerLines]:
        """Yield the answers of each group in the order of the lines."""
        pool: Executor = HereExecutor() if self._groups == 1 else DaemonExecutor(self._groups)
        with ended(pool):
            yield from in_order(pool, partial(answer_group, self._engine), groups_of(lines), 2 * self._groups - 1)


@dataclass
class _Counts:
    lines: int = 0
    errors: int = 0
    unreadable: int = 0
    first_unreadable: str | None = None

    def counted(self, lines: Iterator[BatchLine]) -> Iterator[BatchLine]:
        """Yield the lines, and count them."""
        for line in lines:
            self.lines += 1
            if line.request is None:
                self.unreadable += 1
                self.first_unreadable = self.first_unreadable or line.error
            yield line


@contextmanager
def _lines_file(temporary: Path, table: bool) -> Iterator[Path]:
    """Yield the file that lines are written to: the one asked for, or one beside it that a table is made of."""
    if not table:
        yield temporary
        return
    lines = temporary.with_name(f"{temporary.name}.jsonl")
    try:
        yield lines
    finally:
        lines.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", "all machines must see it") from None
