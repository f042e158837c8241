"""Load on a server over HTTP by clients that ask all the time or now and then, beside `transformers` with one request at
a time."""

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from recommender.benchmarks.synthetic import full_trie
from recommender.benchmarks.transformers_rival import TransformersRival
from recommender.errors import RecommenderError
from recommender.model.checkpoint import Checkpoint, from_pretrained
from recommender.progress import Progress

PATH = "/v1/recommendations"
_START_SECONDS, _ANSWER_SECONDS = 900, 120
"""How long a server may take to start, and how long a client waits for an answer."""


@dataclass(frozen=True)
class LoadSettings:
    """`clients` send requests for `seconds`, for lists of `k` items on random histories shorter than `longest`.

    url: a server that runs already; None: start one with `engine` and the further arguments `serve`. plain_seconds: how
    long `transformers` is measured. pause: seconds between an answer and the client's next request, on average of an
    exponential distribution.
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
    pause: float = 0.0


@dataclass
class LoadTally:
    """The outcome of the requests. answered: seconds of each answer; refused: status 429; errors: other statuses; lost:
    without an answer; wrong: lists with an item that is unknown, seen or repeated, or of a wrong length."""

    answered: list[float] = field(default_factory=list)
    refused: int = 0
    errors: int = 0
    lost: int = 0
    wrong: int = 0

    def row(self, method: str, seconds: float) -> dict[str, Any]:
        """Return the tally as a row of the table."""
        times = np.array(self.answered) * 1000 if self.answered else np.array([np.nan])
        p50, p95, p99 = (float(p) for p in np.percentile(times, [50, 95, 99]))
        counts = {"errors": self.errors, "lost": self.lost, "refused": self.refused, "wrong lists": self.wrong}
        rate = len(self.answered) / seconds
        row: dict[str, Any] = {"method": method, "answered": len(self.answered), **counts, "seconds": seconds}
        return row | {"a second": rate, "p50 ms": p50, "p95 ms": p95, "p99 ms": p99}


def bench_serve(source: str, settings: LoadSettings, progress: Progress | None = None) -> list[dict[str, Any]]:
    """Measure a server of the checkpoint `source` under load, then `transformers` generate; returns a row for each.

    `transformers` has the machine to itself, with a beam as wide as the served one, and with one as wide as the list.
    Raises RecommenderError if the server does not start.
    """
    checkpoint = from_pretrained(source, None, progress)
    with running_server(source, settings) as url:
        served = load(url, [item.item_id for item in checkpoint.catalogue], settings, progress)
    rows = [served.row(f"{settings.engine}, {settings.clients} clients", settings.seconds)]
    widths = dict.fromkeys((checkpoint.config.decoding.beam, settings.k)) if settings.plain_seconds else ()
    for beam in widths:
        tally, seconds = one_at_a_time(checkpoint, beam, settings)
        rows.append(tally.row(f"transformers generate, 1 at a time, {beam} beams", seconds))
    return [row | {"times generate": _ratio(rows[0]["a second"], row["a second"])} for row in rows]


def _ratio(served: float, other: float) -> float | None:
    """Return how many times as fast the server is; None if the other method answered nothing."""
    return served / other if other else None


def load(url: str, items: Sequence[str], settings: LoadSettings, progress: Progress | None = None) -> LoadTally:
    """Send requests to the server at `url` from all clients at once, for `settings.seconds`."""
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
        client.join(_ANSWER_SECONDS + 10)
    return tally


def _client(
    url: str, items: Sequence[str], settings: LoadSettings, number: int, until: float, tally: LoadTally, lock: Any
) -> None:
    """Send one request after the other until a time of the monotonic clock, and count the answers."""
    random, address, known = np.random.default_rng([settings.seed, number]), urlsplit(url), set(items)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=_ANSWER_SECONDS)
    while not _paused(random, settings.pause, until):
        history = drawn_history(random, items, settings.longest)
        start = time.perf_counter()
        try:
            status, answer = _post(connection, {"history": history, "k": settings.k})
        except (OSError, HTTPException):
            connection.close()
            with lock:
                tally.lost += 1
            continue
        seconds = time.perf_counter() - start  # before the lock, which other clients may hold
        with lock:
            _count(tally, status, answer, history, known, settings.k, seconds)
        if status == 429:
            time.sleep(1)
    connection.close()


def _paused(random: np.random.Generator, mean: float, until: float) -> bool:
    """Wait for a time drawn anew, and return whether it is over with all requests: `until`, of the monotonic clock."""
    if mean:
        time.sleep(max(0.0, min(random.exponential(mean), until - time.monotonic())))
    return time.monotonic() >= until


def drawn_history(random: np.random.Generator, items: Sequence[str], longest: int) -> list[str]:
    """Return distinct random items, fewer than `longest` of them."""
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


def is_wrong(items: Sequence[str], history: Sequence[str], known: set[str], k: int) -> bool:
    """Return whether a list is anything but `k` distinct known items that are not in the history."""
    distinct = set(items)
    return len(items) != k or len(distinct) != k or not distinct <= known or bool(distinct & set(history))


def one_at_a_time(checkpoint: Checkpoint, beam: int, settings: LoadSettings) -> tuple[LoadTally, float]:
    """Rank by `transformers` generate with a prefix function, one request after the other; returns tally and seconds."""
    model = checkpoint.model.eval()
    rival, builder = TransformersRival(model, full_trie(model)), checkpoint.builder
    catalogue, random, tally = checkpoint.catalogue, np.random.default_rng(settings.seed), LoadTally()
    item_ids = [item.item_id for item in catalogue]
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < settings.plain_seconds:
        prompt = builder.prompt(catalogue.indices(drawn_history(random, item_ids, settings.longest)))
        rival.generate([prompt], beam, settings.k, vectorised=False)
        tally.answered.append(time.perf_counter() - start - elapsed)
    return tally, elapsed


@contextmanager
def running_server(source: str, settings: LoadSettings) -> Iterator[str]:
    """Yield the address of a server: the one that runs already, or a `recommender serve` that is ended afterwards."""
    if settings.url:
        yield settings.url
        return
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    command = [sys.executable, "-m", "recommender", "serve", source, "--engine", settings.engine, "--quiet"]
    with tempfile.NamedTemporaryFile("w+", prefix="recommender-serve-", suffix=".log", delete=False) as log:
        process = subprocess.Popen([*command, "--port", str(port), *settings.serve], stdout=log, stderr=log)
    try:
        _wait_until_alive(port, process, log.name)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
    os.unlink(log.name)


def _wait_until_alive(port: int, process: subprocess.Popen[bytes], log: str) -> None:
    until = time.monotonic() + _START_SECONDS
    while not _is_alive(port):
        if process.poll() is not None or time.monotonic() > until:
            raise RecommenderError("the server did not start", f"its log: {log}")
        time.sleep(0.5)


def _is_alive(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
