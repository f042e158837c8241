"""How soon a running server knows what people do: in the next list, on disk, and in the counts that rank along."""

from __future__ import annotations

import itertools
import json
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from recommender.baselines.fusion.stored import FUSION_FILE, LANGUAGE_MODEL, StoredFusion
from recommender.benchmarks.server_load import LoadSettings, load, running_server
from recommender.benchmarks.tiny import tiny_checkpoint
from recommender.engine import Recommender
from recommender.errors import RecommenderError
from recommender.model.checkpoint import item_ids_of, save_copy_with
from recommender.pipelines.recounting import recounted
from recommender.pipelines.train import load_histories
from recommender.progress import Progress
from recommender.store.master_keys import new_master_key
from recommender.store.store import Store

EVENTS, LISTS, METRICS = "/v1/events", "/v1/recommendations", "/metrics"
#: what a model gets that has no fused baselines
COUNTS = ("popularity", "sequential-item-knn")
_COUNTED = "recommender_counted_event "
_ANSWER_SECONDS, _COUNT_SECONDS = 120, 60
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class OnlineSettings:
    """`clients` ask for lists of `k` items for `seconds`, while one person after the other acts and asks, once
    without a pause between an answer and a client's next request, once with `pause` seconds on average. Then `writers` send
    events for `write_seconds` in each size of `batches`; then `counted` events are waited for in the counts.

    `items`, `users`: of the tiny model."""

    clients: int = 16
    seconds: float = 30.0
    pause: float = 1.0
    writers: int = 4
    write_seconds: float = 5.0
    batches: tuple[int, ...] = (1, 10, 100)
    counted: int = 10
    k: int = 10
    items: int = 500
    users: int = 200
    seed: int = 0


def bench_online(model: str | None, settings: OnlineSettings, progress: Progress) -> Rows:
    """Measure a server of a model over HTTP; None: of a tiny one with random weights. Returns a row for each measurement.

    A model without fused baselines is served with `COUNTS`, counted from the interactions of its config. Raises
    RecommenderError if the server does not start, or loses or repeats an event.
    """
    with tempfile.TemporaryDirectory(prefix="recommender-online-") as name:
        folder = Path(name)
        source = _with_counts(model or _tiny(folder / "tiny", settings), folder / "fused", progress)
        ids = item_ids_of(source) or ()
        with _server(source, folder) as url:
            progress("online", 0, 3)
            rows = [_next_lists(url, ids, settings, pause) for pause in (0.0, settings.pause)]
            progress("online", 1, 3)
            written = [_written(url, ids, size, settings) for size in settings.batches]
            progress("online", 2, 3)
            counted = _counted(url, ids, settings)
            progress("online", 3, 3)
        acknowledged = sum(row["count"] for row in (*rows, *written)) + counted["count"]
        _check_kept(folder, acknowledged)
        return [*rows, *written, counted]


def _tiny(folder: Path, settings: OnlineSettings) -> str:
    random, source = np.random.default_rng(settings.seed), folder / "interactions.csv"
    folder.mkdir(parents=True)
    taken = [(user, item) for user in range(settings.users) for item in random.permutation(settings.items)[:20]]
    lines = [f"{user},{item},{time_}" for time_, (user, item) in enumerate(taken)]
    source.write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n", encoding="utf-8")
    return str(tiny_checkpoint(folder, settings.items, settings.seed, source))


def _with_counts(model: str, target: Path, progress: Progress) -> str:
    """Return a checkpoint with fused baselines: the model itself, or a copy that has some."""
    engine = Recommender.from_pretrained(model, None, progress)
    if engine.fusion is not None:
        return model
    stored = StoredFusion({}, {LANGUAGE_MODEL: (1.0, 0.0), **dict.fromkeys(COUNTS, (0.1, 0.0))})
    histories = load_histories(engine.config, engine.catalogue)
    counts = recounted(stored, engine.catalogue, engine.features, histories.items, engine.config.seed)
    save_copy_with(model, target, {FUSION_FILE: counts.save}, {})
    return str(target)


@contextmanager
def _server(source: str, folder: Path) -> Iterator[str]:
    new_master_key(folder / "keys", "bench")
    kept = ("--store", str(folder / "store.db"), "--master-key", str(folder / "keys"))
    with running_server(source, LoadSettings("embedded", serve=kept)) as url:
        yield url


class _Caller:
    """One connection to a server, kept open."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._connection = HTTPConnection(address.hostname or "", address.port, timeout=_ANSWER_SECONDS)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return an answer. Raises RecommenderError unless its status is 200."""
        self._connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise RecommenderError(f"{path} answers {response.status}: {text[:200].decode(errors='replace')}")
        answer = json.loads(text)
        assert isinstance(answer, dict)
        return answer

    def metric(self, start: str) -> float:
        """Return the value of the metric whose line begins so."""
        self._connection.request("GET", METRICS)
        lines = self._connection.getresponse().read().decode().splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(start))


def _event(name: str, user: str, item: str) -> dict[str, Any]:
    return {"id": name, "user": user, "item": item, "kind": "like"}


def _next_lists(url: str, ids: Sequence[str], settings: OnlineSettings, pause: float) -> dict[str, Any]:
    """Let people take the first item of their list and ask again at once, while others ask, with a pause on average."""
    asked = LoadSettings(
        "embedded", url, settings.clients, settings.seconds, k=settings.k, seed=settings.seed, pause=pause
    )
    others = threading.Thread(target=load, args=(url, ids, asked), daemon=True)
    caller, until = _Caller(url), time.monotonic() + settings.seconds
    taken, stale = [], 0
    others.start()
    for number in itertools.count():
        user = f"reader-{pause:g}-{number}"
        item = caller.post(LISTS, {"user": user, "k": settings.k})["items"][0]["item_id"]
        began = time.perf_counter()
        caller.post(EVENTS, {"events": [_event(f"read-{pause:g}-{number}", user, item)]})
        listed = caller.post(LISTS, {"user": user, "k": settings.k})["items"]
        taken.append(time.perf_counter() - began)
        stale += any(entry["item_id"] == item for entry in listed)
        if time.monotonic() >= until:
            break
    others.join()
    asking = f"pausing {pause:g} s on average" if pause else "without a pause"
    return _row(f"event to next list, {settings.clients} clients ask {asking}", taken) | {"stale lists": stale}


def _written(url: str, ids: Sequence[str], size: int, settings: OnlineSettings) -> dict[str, Any]:
    """Let several writers send events in batches of a size, each as soon as the last one is acknowledged."""
    times: list[float] = []
    until = time.monotonic() + settings.write_seconds

    def write(writer: int) -> None:
        caller = _Caller(url)
        for number in itertools.count():
            names = [f"write-{size}-{writer}-{number}-{place}" for place in range(size)]
            batch = [_event(name, f"writer-{place % 50}", ids[place % len(ids)]) for place, name in enumerate(names)]
            began = time.perf_counter()
            caller.post(EVENTS, {"events": batch})
            times.append(time.perf_counter() - began)
            if time.monotonic() >= until:
                return

    began = time.monotonic()
    threads = [threading.Thread(target=write, args=(writer,), daemon=True) for writer in range(settings.writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, count = time.monotonic() - began, len(times) * size
    row = _row(f"events in batches of {size}, {settings.writers} writers", times)
    return row | {"count": count, "a second": count / seconds}


def _counted(url: str, ids: Sequence[str], settings: OnlineSettings) -> dict[str, Any]:
    """Wait until fused counts hold an event, one after the other."""
    caller, taken = _Caller(url), []
    for number in range(settings.counted):
        before = _settled(caller)
        began = time.perf_counter()
        caller.post(EVENTS, {"events": [_event(f"count-{number}", f"counted-{number}", ids[number % len(ids)])]})
        while caller.metric(_COUNTED) <= before:
            if time.perf_counter() - began > _COUNT_SECONDS:
                raise RecommenderError(f"the counts do not hold an event after {_COUNT_SECONDS} s")
            time.sleep(0.01)
        taken.append(time.perf_counter() - began)
    return _row("event to fused counts", taken)


def _settled(caller: _Caller) -> float:
    """Return the number of the last event that is counted, once no more come."""
    number = caller.metric(_COUNTED)
    while True:
        time.sleep(0.3)
        if (now := caller.metric(_COUNTED)) == number:
            return number
        number = now


def _row(measured: str, seconds: list[float]) -> dict[str, Any]:
    median, late = (float(value) for value in np.percentile(np.array(seconds) * 1000, [50, 95]))
    row: dict[str, Any] = {"measured": measured, "count": len(seconds), "a second": ""}
    return row | {"median ms": median, "95th ms": late, "stale lists": ""}


def _check_kept(folder: Path, acknowledged: int) -> None:
    """Raise RecommenderError unless each acknowledged event is in the store, once."""
    store = Store.open(folder / "store.db", folder / "keys")
    kept = store.events.count()
    store.let_go()
    if kept != acknowledged:
        raise RecommenderError(f"{acknowledged} events were acknowledged, and {kept} are kept")
