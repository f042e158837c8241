"""The audit log: what a row of a list costs its answer, and how long a long log takes to be signed and verified."""

from __future__ import annotations

import base64
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from recommender.progress import Progress
from recommender.store.audit import AuditLog, row_hash
from recommender.store.database import writing
from recommender.store.master_keys import new_master_key
from recommender.store.store import Store
from recommender.store.tables import audit

_AT_ONCE = 10_000


def list_row(items: int) -> dict[str, Any]:
    """Return the body of an audit row as a server writes it for a list of so many items, each justified."""
    verdict = {"written_by": "model", "claims": 2, "false": 0, "text": "e" * 64}
    sealed = base64.b64encode(os.urandom(60 + 8 * items)).decode()
    fixed = {"caller": "shop", "request": "a" * 64, "model": "b" * 64, "person": "c" * 32}
    return fixed | {"items": sealed, "verdicts": [verdict] * items}


def bench_audit(rows: int, added: int, items: int, progress: Progress) -> list[dict[str, Any]]:
    """Return a row for each step. `added`: rows that are added one by one; the others of `rows` are written together.

    seconds: by the clock; processor: of this process; each in milliseconds a row too.
    """
    with tempfile.TemporaryDirectory() as folder:
        new_master_key(Path(folder) / "keys", "bench")
        store = Store.open(Path(folder) / "store.db", Path(folder) / "keys")
        body = list_row(items)
        progress("audit log", 0, 4)
        table = [_added(store.audit, body, added)]
        progress("audit log", 1, 4)
        _write_together(store, json.dumps(body, sort_keys=True, separators=(",", ":")), rows - added)
        progress("audit log", 2, 4)
        table.append(_timed("sign", rows, store.audit.sign_head))
        progress("audit log", 3, 4)
        table.append(_timed("verify", rows, lambda: _verified(store.audit)))
        progress("audit log", 4, 4)
        store.let_go()
    return table


def _added(log: AuditLog, body: dict[str, Any], count: int) -> dict[str, Any]:
    taken: list[float] = []

    def work() -> None:
        for _ in range(count):
            began = time.perf_counter()
            log.add("list", body)
            taken.append(time.perf_counter() - began)

    return _timed("add", count, work) | {"median ms": statistics.median(taken) * 1000}


def _timed(step: str, rows: int, work: Callable[[], object]) -> dict[str, Any]:
    clock, processor = time.perf_counter(), time.process_time()
    work()
    seconds, taken = time.perf_counter() - clock, time.process_time() - processor
    mean = {"mean ms": seconds / rows * 1000, "median ms": ""}
    return {"step": step, "rows": rows, "seconds": seconds, "processor": taken, **mean}


def _write_together(store: Store, text: str, count: int) -> None:
    """Append rows as `AuditLog.add` would, with fewer transactions."""
    last = store.audit.last(1)[0]
    rows = _chained(last.number, last.hash, last.time, text, count)
    while part := list(islice(rows, _AT_ONCE)):
        with writing(store.engine) as connection:
            connection.execute(insert(audit), part)


def _chained(number: int, before: bytes, when: float, text: str, count: int) -> Iterator[dict[str, Any]]:
    for _ in range(count):
        number, when = number + 1, round(when + 0.001, 3)
        before = row_hash(before, number, when, "list", text)
        yield {"number": number, "time": when, "kind": "list", "body": text, "hash": before}


def _verified(log: AuditLog) -> None:
    verdict = log.verify()
    assert verdict.ok, verdict.reason
