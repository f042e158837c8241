"""Load on a server over HTTP: clients that ask without a pause, beside one request at a time through `transformers`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from recommender.benchmarks.transformers_rival import Plain
from recommender.constraints import Trie
from recommender.errors import RecommenderError
from recommender.model.checkpoint import Checkpoint, from_pretrained
from recommender.progress import Progress

PATH = "/v1/recommendations"
_START, _ANSWER = 900, 120
"""Seconds that a server may take to start, and that a client waits for one answer."""


@dataclass(frozen=True)
class LoadSettings:
    """`clients` ask for `seconds`, each for lists of `k` items for random histories shorter than `longest`.

    `plain_seconds`: how long `transformers` is measured. `serve`: further arguments of `recommender serve`.
    """

    engine: str = "vllm"
    url: str | None = None
    clients: int = 16
    seconds: float = 120.0
    plain_seconds: float = 30.0
    k: int = 10
    longest: int = 60
    seed: int = 0
    serve: tuple[str, ...] = ()


@dataclass
class LoadTally:
    """What came of the requests: seconds of each answer; refusals (429), errors, lost ones without an answer, and lists
    with an item that is unknown, seen or repeated."""

    answered: list[float] = field(default_factory=list)
    refused: int = 0
    errors: int = 0
    lost: int = 0
    wrong: int = 0

    def row(self, method: str, seconds: float) -> dict[str, Any]:
        """Return it as a row of a table."""
        times = np.array(self.answered) * 1000 if self.answered else np.array([np.nan])
        p50, p95, p99 = (float(p) for p in np.percentile(times, [50, 95, 99]))
        counts = {"errors": self.errors, "lost": self.lost, "refused": self.refused, "wrong lists": self.wrong}
        rate = len(self.answered) / seconds
        row: dict[str, Any] = {"method": method, "answered": len(self.answered), **counts, "seconds": seconds}
        return row | {"a second": rate, "p50 ms": p50, "p95 ms": p95, "p99 ms": p99}


def bench_serve(source: str, settings: LoadSettings, progress: Progress | None = None) -> list[dict[str, Any]]:
    """Start a server of the checkpoint `source`, or join one, and return rows: under load, then `transformers` generate.

    The baseline has the machine to itself, a beam as wide as the served one, and as wide as the list. Raises
    RecommenderError if the server does not start.
    """
    checkpoint = from_pretrained(source, None, progress)
    with _server(source, settings) as url:
        served = load(url, [item.item_id for item in checkpoint.catalogue], settings, progress)
    rows = [served.row(f"{settings.engine}, {settings.clients} clients", settings.seconds)]
    widths = dict.fromkeys((checkpoint.config.decoding.beam, settings.k)) if settings.plain_seconds else ()
    for beam in widths:
        tally, seconds = one_at_a_time(checkpoint, beam, settings)
        rows.append(tally.row(f"transformers generate, 1 at a time, {beam} beams", seconds))
    return [row | {"times generate": _ratio(rows[0]["a second"], row["a second"])} for row in rows]


def _ratio(served: float, other: float) -> float | None:
    """Return how many times as fast the server is; None beside a method that answered nothing in its time."""
    return served / other if other else None


def load(url: str, items: Sequence[str], settings: LoadSettings, progress: Progress | None = None) -> LoadTally:
    """Ask a server at `url` from all clients at once for the time that is set."""
    tally, lock = LoadTally(), threading.Lock()
    until = time.monotonic() + settings.seconds
    clients = [
        threading.Thread(target=_client, args=(url, items, settings, number, until, tally, lock), daemon=True)
        for number in range(settings.clients)
    ]
    for client in clients:
        client.start()
    while (left := until - time.monotonic()) > 0:
        if progress:
            progress("load", int(settings.seconds - left), int(settings.seconds))
        time.sleep(min(left, 1.0))
    for client in clients:
        client.join(_ANSWER + 10)
    return tally


def _client(
    url: str, items: Sequence[str], settings: LoadSettings, number: int, until: float, tally: LoadTally, lock: Any
) -> None:
    random, place, known = np.random.default_rng([settings.seed, number]), urlsplit(url), set(items)
    connection = HTTPConnection(place.hostname or "", place.port, timeout=_ANSWER)
    while time.monotonic() < until:
        history = drawn_history(random, items, settings.longest)
        begun = time.perf_counter()
        try:
            status, answer = _post(connection, {"history": history, "k": settings.k})
        except (OSError, HTTPException):
            connection.close()
            with lock:
                tally.lost += 1
            continue
        seconds = time.perf_counter() - begun  # before the lock, which other clients may hold
        with lock:
            _count(tally, status, answer, history, known, settings.k, seconds)
        if status == 429:
            time.sleep(1)
    connection.close()


def drawn_history(random: np.random.Generator, items: Sequence[str], longest: int) -> list[str]:
    """Return different random items, fewer than `longest` of them."""
    size = int(random.integers(0, min(longest, len(items) // 2)))
    return [items[i] for i in random.choice(len(items), size, replace=False)]


def _post(connection: HTTPConnection, body: dict[str, Any]) -> tuple[int, bytes]:
    connection.request("POST", PATH, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, response.read()


def _count(
    tally: LoadTally, status: int, answer: bytes, history: Sequence[str], known: set[str], k: int, seconds: float
) -> None:
    if status == 429:
        tally.refused += 1
    elif status != 200:
        tally.errors += 1
    else:
        tally.answered.append(seconds)
        tally.wrong += is_wrong([item["item_id"] for item in json.loads(answer)["items"]], history, known, k)


def is_wrong(found: Sequence[str], history: Sequence[str], known: set[str], k: int) -> bool:
    """Whether a list has not `k` different known items that are not in the history."""
    return len(found) != k or len(set(found)) != k or not set(found) <= known or bool(set(found) & set(history))


def one_at_a_time(checkpoint: Checkpoint, beam: int, settings: LoadSettings) -> tuple[LoadTally, float]:
    """Rank by `transformers` generate with a prefix function, one request after the other; returns also the seconds."""
    model = checkpoint.model.eval()
    trie = Trie.from_codes(model.ids.codes, model.ids.sizes, model.device)
    plain, builder = Plain(model, trie), checkpoint.builder
    items, random, tally = checkpoint.catalogue, np.random.default_rng(settings.seed), LoadTally()
    names = [item.item_id for item in items]
    begun = time.perf_counter()
    while (spent := time.perf_counter() - begun) < settings.plain_seconds:
        prompt = builder.prompt(items.indices(drawn_history(random, names, settings.longest)))
        plain.generate([prompt], beam, settings.k, vectorised=False)
        tally.answered.append(time.perf_counter() - begun - spent)
    return tally, spent


@contextmanager
def _server(source: str, settings: LoadSettings) -> Iterator[str]:
    """Start `recommender serve` as a process of its own, unless a running one is given, and drain it at the end."""
    if settings.url:
        yield settings.url
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "recommender", "serve", source, "--engine", settings.engine, "--quiet"]
    with tempfile.NamedTemporaryFile("w+", prefix="recommender-serve-", suffix=".log", delete=False) as log:
        process = subprocess.Popen([*command, "--port", str(port), *settings.serve], stdout=log, stderr=log)
    try:
        _wait(lambda: _alive(port), process, log.name)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
    os.unlink(log.name)


def _wait(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: str) -> None:
    until = time.monotonic() + _START
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            raise RecommenderError("the server did not start", f"its log: {log}")
        time.sleep(0.5)


def _alive(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
