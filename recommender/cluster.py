"""Work for many machines: Ray Data hands tasks to workers that load once, on a Ray of this machine or on a cluster."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import math
import os
import pickle
import shutil
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recommender.errors import ConfigError, RecommenderError, import_extra

logger = logging.getLogger(__name__)

TRIES = 4
"""How often a task is begun whose workers die before it is given up."""
_ADDRESS = "RAY_ADDRESS"
_REACH_SECONDS = 4.0
#: what a client of HTTP/2, which Ray speaks, says first: the preface and settings that are all defaults
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_SETTINGS = 4
_LOCAL_STORE = 200 << 20
# a Ray that is started here calls nobody at home, and says nothing that is not its end
_OF_LOCAL = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}

Worker = Callable[[Any], Any]
"""What answers tasks: it was loaded once, and is called with a task. It raises RecommenderError for one it cannot do."""


@dataclass(frozen=True)
class ClusterOptions:
    """Where tasks are computed.

    workers: how many at a time. address: HOST:PORT of a Ray, or auto for the one that this machine is part of; default:
    that of RAY_ADDRESS, else a Ray is started here and ended with the work. cpus, gpus: what a worker takes of a machine.
    """

    workers: int = 2
    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0


@dataclass(frozen=True)
class Failed:
    """Why a task has no result. `opening`: no worker can do any, because what it loads cannot be opened."""

    message: str
    hint: str | None = None
    opening: bool = False

    @classmethod
    def of(cls, error: Exception, opening: bool = False) -> Failed:
        """Tell an error in one line."""
        if isinstance(error, RecommenderError):
            return cls(error.message, error.hint, opening)
        return cls(" ".join(f"{type(error).__name__}: {error}".split()), None, opening)

    def error(self) -> RecommenderError:
        """Return it as an error to raise."""
        return RecommenderError(self.message, self.hint)


class Cluster:
    """Workers on a connected Ray; see `connected`."""

    def __init__(self, options: ClusterOptions) -> None:
        self.options = options

    def map(
        self, load: Callable[..., Worker], arguments: tuple[Any, ...], tasks: Mapping[str, Any], tries: Path
    ) -> Iterator[tuple[str, Any]]:
        """Yield the name and result of each task as it is done; the result of one that cannot be done is a `Failed`.

        load: called once in each worker, with `arguments`. tasks: by distinct names; one whose worker died is begun again,
        so it must be one that can be repeated. tries: a folder that all machines see and nobody else uses, made here and
        removed at the end: there workers note what they begin, so that a task whose workers die is given up after `TRIES`.
        Raises RecommenderError if nothing can be loaded, or if the cluster is lost.
        """
        if not tasks:
            return
        shutil.rmtree(tries, ignore_errors=True)
        tries.mkdir(parents=True)
        try:
            for result in self._results(load, arguments, tasks, tries):
                name, answer = pickle.loads(result)
                if isinstance(answer, Failed) and answer.opening:
                    raise answer.error()
                yield name, answer
        finally:
            shutil.rmtree(tries, ignore_errors=True)

    def _results(
        self, load: Callable[..., Worker], arguments: tuple[Any, ...], tasks: Mapping[str, Any], tries: Path
    ) -> Iterator[bytes]:
        import ray

        options, rows = self.options, [{"task": pickle.dumps(task)} for task in tasks.items()]
        workers = min(options.workers, len(rows))
        _note_resources(ray, workers, options)
        strategy = ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1)
        with _data_settings(ray), _one_line(ray):
            # a block a task: a block is what Ray Data repeats when a worker dies
            dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                TaskWorker,
                fn_constructor_args=(load, arguments, tries),
                batch_size=1,
                compute=strategy,
                num_cpus=options.cpus,
                num_gpus=options.gpus or None,
            )
            for row in dataset.iter_rows():
                yield row["result"]


class TaskWorker:
    """What Ray runs: it loads once, then answers one task after the other. Nothing that goes wrong in it ends the work."""

    def __init__(self, load: Callable[..., Worker], arguments: tuple[Any, ...], tries: Path) -> None:
        self._tries = tries
        self._worker: Worker | None = None
        self._unopened: Failed | None = None
        try:
            self._worker = load(*arguments)
        except Exception as error:
            self._unopened = Failed.of(error, opening=True)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[bytes]]:
        """Answer a batch of tasks, as Ray Data has it: a column of pickled names and tasks, one of names and results."""
        pairs = [pickle.loads(task) for task in batch["task"]]
        return {"result": [pickle.dumps((name, self.answer(name, task))) for name, task in pairs]}

    def answer(self, name: str, task: Any) -> Any:
        """Return the result of a task, or why there is none."""
        if self._worker is None:
            return self._unopened
        begun = self._begin(name)
        if begun > TRIES:
            return Failed(
                f"{name}: {TRIES} workers died of it, or with it", "give workers more memory, or smaller parts"
            )
        try:
            return self._worker(task)
        except Exception as error:
            if not isinstance(error, RecommenderError):
                logger.exception("%s failed", name)
            return Failed.of(error)

    def _begin(self, name: str) -> int:
        """Note that a task is begun; return how often it has been."""
        self._tries.mkdir(parents=True, exist_ok=True)
        path = self._tries / hashlib.sha256(name.encode()).hexdigest()
        with path.open("ab") as file:
            file.write(b".")
        return path.stat().st_size


@contextmanager
def connected(options: ClusterOptions) -> Iterator[Cluster]:
    """Yield the workers of a Ray that is joined, or started here and ended with the block; a Ray that this process has
    joined already is taken as it is.

    Raises ConfigError for an address that is none, RecommenderError within ten seconds for one where no Ray answers, or if
    Ray is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        import_extra("ray", "--on ray", "ray", "leave it out to work on this machine alone")
    address = options.address or os.environ.get(_ADDRESS) or None
    if address is not None:
        check_address(address)
    for name, value in _OF_LOCAL.items():
        os.environ.setdefault(name, value)
    ray = import_extra("ray", "--on ray", "ray")
    import_extra("ray.data", "--on ray", "ray")
    if ray.is_initialized():
        yield Cluster(options)
        return
    _join(ray, address, options)
    try:
        # Ray prints what becomes of its workers to standard output, where nothing but results belongs
        with redirect_stdout(sys.stderr):
            yield Cluster(options)
    finally:
        ray.shutdown()


def check_address(address: str) -> None:
    """Raise ConfigError unless this is an address of a Ray, RecommenderError unless a Ray may be there.

    A few seconds at most: Ray itself waits two minutes for one that does not answer, and cannot be interrupted then.
    """
    if address in ("auto", "local"):
        return
    if "://" in address:
        raise ConfigError(
            f"--ray-address {address}: is no HOST:PORT; Ray Client (ray://) is not supported",
            "run the command on a machine of the cluster with --ray-address auto, or by `ray job submit`",
        )
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdecimal() and port.isascii() and 0 < int(port) < 65536):
        raise ConfigError(f"--ray-address {address}: expected HOST:PORT or auto", "for example 10.0.0.1:6379")
    reason = _unreached(host.strip("[]"), int(port))
    if reason:
        raise _unreachable(address, reason)


def _unreached(host: str, port: int) -> str | None:
    """Return why no Ray answers there, None if something does that speaks as Ray does."""
    try:
        with socket.create_connection((host, port), timeout=_REACH_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS") == "1":
                return None
            connection.settimeout(_REACH_SECONDS)
            connection.sendall(_GREETING)
            answer = _received(connection, 9)
    except TimeoutError:
        return f"nothing answers within {_REACH_SECONDS:.0f} seconds"
    except OSError as error:
        return error.strerror or str(error)
    return None if len(answer) == 9 and answer[3] == _SETTINGS else "what answers there is no Ray"


def _received(connection: socket.socket, count: int) -> bytes:
    end, answer = time.monotonic() + _REACH_SECONDS, b""
    while len(answer) < count and time.monotonic() < end:
        part = connection.recv(count - len(answer))
        if not part:
            break
        answer += part
    return answer


def _unreachable(address: str, reason: str) -> RecommenderError:
    return RecommenderError(
        f"the Ray at {address} cannot be reached: {reason}",
        "check `ray status` on a machine of the cluster, or leave out --ray-address and RAY_ADDRESS to start a Ray here",
    )


def _join(ray: Any, address: str | None, options: ClusterOptions) -> None:
    """Join the Ray of an address, or start one of this machine."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address not in (None, "local"):
        if reason := _refusal(ray, address=address, **quiet):
            raise _unreachable(str(address), reason)
        return
    processors = max(1, math.ceil(options.workers * options.cpus))
    local = {"num_cpus": processors, "include_dashboard": False, "object_store_memory": _LOCAL_STORE, **quiet}
    # it gives up on its own processes after half a minute, which a busy machine may take
    if _refusal(ray, address="local", **local) and (reason := _refusal(ray, address="local", **local)):
        raise RecommenderError(f"no Ray can be started here: {reason}", "see its logs in /tmp/ray")


def _refusal(ray: Any, **arguments: Any) -> str | None:
    """Connect; return why that failed, None if it did not."""
    try:
        with _signals_kept():
            ray.init(**arguments)
    except Exception as error:
        ray.shutdown()
        return " ".join(str(error).split()).partition(". ")[0]
    return None


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep what SIGTERM does in this process: a Ray that is started here would end the process its own way."""
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _note_resources(ray: Any, workers: int, options: ClusterOptions) -> None:
    """Say so if the cluster has no room for all workers now: Ray waits for it, and may add machines."""
    there = ray.cluster_resources()
    for name, needed in (("CPU", workers * options.cpus), ("GPU", workers * options.gpus)):
        if needed > there.get(name, 0):
            logger.warning("Ray has %g %ss now, and %d workers take %g", there.get(name, 0), name, workers, needed)


@contextmanager
def _data_settings(ray: Any) -> Iterator[None]:
    """Set what Ray Data goes by, and put it back: no bars beside ours, and no end after half an hour without a part."""
    context = ray.data.DataContext.get_current()
    wanted = {
        "enable_progress_bars": False,
        "print_on_execution_start": False,
        "execution_no_progress_timeout_s": -1,
        "wait_for_min_actors_s": -1,
    }
    before = {name: getattr(context, name) for name in wanted if hasattr(context, name)}
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    for name in before:
        setattr(context, name, wanted[name])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)


@contextmanager
def _one_line(ray: Any) -> Iterator[None]:
    """Turn what Ray raises for a lost cluster into one line; what is done is kept by whoever keeps it."""
    try:
        yield
    except ray.exceptions.RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1] if lines else type(error).__name__
        raise RecommenderError(
            f"Ray ended the work: {reason}", "see Ray's logs; the same command goes on with what is missing"
        ) from None
