"""Runs a frozen encoder over many sources: each distinct content once, cached batch by batch, read ahead in threads."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recommender.encoders.encoding_cache import EncodingCache
from recommender.encoders.video_parts import VideoPart
from recommender.errors import DataError
from recommender.progress import Progress

# A batch ends here even if it holds few sources, so that long recordings and large photographs fit into memory
# and a kill costs little.
_BATCH_BYTES = 32 << 20


@dataclass(frozen=True)
class Source:
    """A text, a media file or a part of a video, and the item that it belongs to."""

    item_id: str
    value: str | Path | VideoPart
    content: str
    """Hash of what is encoded."""
    size: int
    """Bytes: sources of about one size make the batches with the least padding."""


@dataclass(frozen=True)
class Work:
    """How a value is computed from each source. `prepare` may run in several threads and raises DataError."""

    name: str
    identity: str
    load: Callable[[], None]
    prepare: Callable[[Any], Any]
    compute: Callable[[Sequence[Any]], Sequence[bytes | None]]
    """Values of prepared sources; None for one without a usable value."""
    key: tuple[str, int] = ("", 0)
    """What tells this work from others of the same encoders: see `Encoders.work`."""


Computing = Callable[[Work, Sequence[list[Source]]], Iterator[dict[str, bytes]]]
"""Where batches are computed: yields values by content hash, those of one batch or of several at a time."""


@dataclass(frozen=True)
class Tally:
    """How much was encoded: numbers of items and of distinct contents, and seconds."""

    items: int
    distinct: int
    computed: int
    seconds: float

    @property
    def cached(self) -> int:
        """Distinct contents that an earlier run had encoded."""
        return self.distinct - self.computed


def run(
    work: Work,
    sources: Sequence[Source],
    cache: EncodingCache,
    batch_size: int,
    progress: Progress | None = None,
    computing: Computing | None = None,
) -> tuple[dict[str, bytes], Tally]:
    """Return the value of each content hash, from the cache or computed, and what was done.

    Each batch is kept before the next begins. computing: where, by default here. Raises DataError naming the item and the
    file.
    """
    start = time.perf_counter()
    distinct = {source.content: source for source in reversed(sources)}
    values = cache.get(work.identity, list(distinct))
    absent = sorted(
        (source for content, source in distinct.items() if content not in values),
        key=lambda source: (source.size, source.content),
    )
    report = progress or (lambda what, done, total: None)
    report(work.name, len(values), len(distinct))
    for computed in (computing or compute_here)(work, list(_batches(absent, batch_size))):
        cache.put(work.identity, computed)
        values |= computed
        report(work.name, len(values), len(distinct))
    return values, Tally(len(sources), len(distinct), len(absent), time.perf_counter() - start)


def compute_here(work: Work, batches: Sequence[list[Source]]) -> Iterator[dict[str, bytes]]:
    """Yield the values of each batch by content hash. Raises DataError naming the item and the file."""
    for batch, prepared in _read_ahead(work, batches):
        yield _values_by_content(batch, work.compute(prepared))


def map_in_threads(function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    """Apply a function that waits for the disk to many values in threads; results are in the order of the values."""
    with ThreadPoolExecutor(_threads()) as pool:
        return list(pool.map(function, values))


def _batches(sources: Sequence[Source], most: int) -> Iterator[list[Source]]:
    batch: list[Source] = []
    for source in sources:
        full = len(batch) == most or sum(other.size for other in batch) + source.size > _BATCH_BYTES
        if batch and full:
            yield batch
            batch = []
        batch.append(source)
    if batch:
        yield batch


def _read_ahead(work: Work, batches: Sequence[list[Source]]) -> Iterator[tuple[list[Source], list[Any]]]:
    """Yield batches with their prepared sources; while one is used, the next is being prepared."""
    if not batches:
        return
    work.load()
    with ThreadPoolExecutor(_threads()) as pool:

        def submit(batch: Sequence[Source]) -> list[Future[Any]]:
            return [pool.submit(_prepared, work, source) for source in batch]

        try:
            upcoming = submit(batches[0])
            for batch, next_batch in zip(batches, [*batches[1:], []], strict=True):
                current, upcoming = upcoming, submit(next_batch)
                yield batch, [future.result() for future in current]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _prepared(work: Work, source: Source) -> Any:
    with naming_item(source.item_id, source.value):
        return work.prepare(source.value)


def _values_by_content(batch: Sequence[Source], values: Sequence[bytes | None]) -> dict[str, bytes]:
    """Return the value of each content. Raises DataError naming the first item without one."""
    by_content: dict[str, bytes] = {}
    for source, value in zip(batch, values, strict=True):
        if value is None:
            with naming_item(source.item_id, source.value):
                raise DataError("its encoding is not finite")
        by_content[source.content] = value
    return by_content


@contextmanager
def naming_item(item_id: str, value: str | Path | VideoPart) -> Iterator[None]:
    """Turn a DataError or OSError of this source into a DataError that names the item and the file."""
    try:
        yield
    except (DataError, OSError) as error:
        reason = error.message if isinstance(error, DataError) else error.strerror or str(error)
        path = value.path if isinstance(value, VideoPart) else value
        if isinstance(path, Path) and str(path) not in reason:
            reason = f"{path}: {reason}"
        hint = error.hint if isinstance(error, DataError) else None
        hint = hint or "mend the file, or leave the item's cell empty"
        raise DataError(f"item {item_id!r}: {reason}", hint) from None


def _threads() -> int:
    return min(8, os.cpu_count() or 1)
