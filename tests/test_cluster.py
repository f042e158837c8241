"""Tasks on a Ray: addresses that are none, tasks that fail, workers that die."""

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from recommender import cluster as clusters
from recommender.cluster import TRIES, ClusterOptions, Failed, TaskWorker, check_address, connected
from recommender.errors import ConfigError, DataError, RecommenderError


class Doubling:
    """Doubles numbers; 3 is refused; 5 ends the process, as long as a file is there."""

    def __init__(self, poison: Path):
        self._poison = poison

    def __call__(self, number):
        if number == 3:
            raise DataError("three", "not three")
        if number == 5 and self._poison.exists():
            self._poison.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * number, os.getpid()


@pytest.mark.parametrize("address", ["10.0.0.1", "ray://10.0.0.1:10001", ":6379", "host:0", "host:x", "host:²"])
def test_addresses_that_are_none_are_refused(address):
    with pytest.raises(ConfigError, match="HOST:PORT"):
        check_address(address)


def test_a_ray_that_is_not_there_is_one_line_within_ten_seconds(monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(RecommenderError, match=f"the Ray at {address} cannot be reached"):
            check_address(address)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("answer", "match"), [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "no Ray"), (b"", "no Ray"), (None, "nothing")]
)
def test_what_answers_there_and_is_no_ray_is_one_line(answer, match, monkeypatch):
    monkeypatch.setattr(clusters, "_REACH_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                if answer is None:
                    time.sleep(1)
                else:
                    connection.sendall(answer)
                    connection.recv(100)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(RecommenderError, match=match):
            check_address(f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()


def test_an_environment_that_names_a_ray_counts(monkeypatch):
    pytest.importorskip("ray", reason="needs the extra ray")
    monkeypatch.setenv("RAY_ADDRESS", "nowhere")
    with pytest.raises(ConfigError, match="nowhere"), connected(ClusterOptions()):
        pass


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(clusters.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(RecommenderError, match="needs the package ray") as error, connected(ClusterOptions()):
        pass
    assert "recommender[ray]" in error.value.hint


def test_a_task_whose_workers_die_is_given_up(tmp_path):
    worker = TaskWorker(Doubling, (tmp_path / "none",), tmp_path / "tries")
    assert [worker.answer("a", 2)[0] for _ in range(TRIES)] == [4] * TRIES
    assert isinstance(worker.answer("a", 2), Failed) and worker.answer("b", 2)[0] == 4
    assert worker.answer("c", 3) == Failed("three", "not three")


def test_a_worker_that_cannot_load_says_why(tmp_path):
    def load():
        raise DataError("no model", "name one")

    assert TaskWorker(load, (), tmp_path).answer("a", 1) == Failed("no model", "name one", opening=True)


@pytest.fixture(scope="module")
def two_workers():
    """A Ray of this machine with two workers, for all tests of this file: it takes seconds to start."""
    pytest.importorskip("ray", reason="needs the extra ray")
    with connected(ClusterOptions(workers=2)) as cluster:
        yield cluster


def test_tasks_go_on_when_a_worker_dies_and_one_that_cannot_be_done_stops_no_other(two_workers, tmp_path):
    (tmp_path / "poison").touch()
    tasks = {str(number): number for number in range(8)}
    results = list(two_workers.map(Doubling, (tmp_path / "poison",), tasks, tmp_path / "tries"))
    assert not (tmp_path / "poison").exists()  # a worker did die
    done = dict(results)
    assert len(results) == len(done) == 8 and done.pop("3") == Failed("three", "not three")
    assert {name: value for name, (value, _) in done.items()} == {str(n): 2 * n for n in range(8) if n != 3}
    assert os.getpid() not in {worker for _, worker in done.values()}
    assert not (tmp_path / "tries").exists()


def test_what_no_worker_can_load_is_one_line(two_workers, tmp_path):
    with pytest.raises(RecommenderError, match="argument"):
        list(two_workers.map(Doubling, (), {"a": 1}, tmp_path / "tries"))
