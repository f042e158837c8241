"""What a vLLM server goes through in service: clients that leave, processes that are killed, adapters that come and go."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from recommender.batch import BatchOptions, run_batch
from recommender.benchmarks.engine_agreement import (
    EnginesSettings,
    answers_or_errors,
    compare_engines,
    drawn_requests,
    under_adapters,
)
from recommender.engine.vllm import VllmOptions, VllmRecommender
from recommender.engine.vllm_server import VllmServer
from recommender.errors import EngineLostError
from recommender.export.vllm_folder import load_exported
from tests.batch.batch_files import read_lines, requests, write_lines
from tests.conftest import write_tables
from tests.server.http_server import Server, check_that_it_drains, raw_post

RANK = "/v1/recommendations"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def both(engines):
    return engines(1)


@pytest.fixture(scope="module")
def served(both):
    return both.vllm


@pytest.fixture
def items(catalogue, histories, tmp_path):
    return write_tables(tmp_path, catalogue, histories)["items"]


def joined(engine):
    return ["--engine", "vllm", "--rank-url", engine.rank_url, "--write-url", engine.write_url]


def servers_of(process):
    """Return the servers that a process has started: process id of each by the part of the export that it serves."""
    children = Path(f"/proc/{process.pid}/task").glob("*/children")
    servers = {}
    for child in {int(number) for file in children for number in file.read_text().split()}:
        words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        if "--model" in words:
            servers[Path(words[words.index("--model") + 1]).name] = child
    return servers


def alive_in(group):
    """Whether a process of a group still runs."""
    stats = [stat.read_text().rsplit(")", 1)[1].split() for stat in Path("/proc").glob("[0-9]*/stat") if stat.exists()]
    return any(int(fields[2]) == group and fields[0] != "Z" for fields in stats)


def running(url):
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        return float(re.search(r"^vllm:num_requests_running\{.*\} (\S+)$", answer.read().decode(), re.M)[1])


@pytest.mark.parametrize("stream", [False, True])
def test_who_leaves_frees_vllms_work_within_a_second(both, served, stream):
    engine = served.with_adapter("rank")
    engine.setup.config = engine.config.updated({"justify.max_new_tokens": 1500})  # long enough to be left
    server = Server(engine)
    try:
        body = {"k": 8, "explain": True, "stream": stream}
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(raw_post(RANK, body))
            until = time.monotonic() + 60
            while not running(engine.write_url) and time.monotonic() < until:
                time.sleep(0.01)
            assert running(engine.write_url)
        left = time.monotonic()
        while running(engine.write_url):
            assert time.monotonic() < left + 1
            time.sleep(0.02)
    finally:
        server.close()


def test_adapters_come_and_go_while_requests_of_both_are_under_way(served, tmp_path):
    settings = EnginesSettings(requests=96, longest=6, k=5)
    first, second = under_adapters(served, tmp_path, settings)
    for row in (first, second):
        assert row["errors"] == row["wrong lists"] == 0 and row["requests"] == 96
        assert row["same items"] >= 0.99 and row["at most"] < 1e-3  # each answered as if it were alone


def test_the_benchmark_sets_both_engines_side_by_side(both, served):
    row = compare_engines(both.embedded, served, EnginesSettings(histories=20, longest=6, k=5))
    assert row["same items"] >= 0.99 and row["wrong lists"] == 0 and row["at most"] < 1e-3


def test_a_batch_whose_server_is_killed_goes_on_with_the_next_one(both, served, items, tmp_path):
    source, output = write_lines(tmp_path / "in.jsonl", requests(160)), tmp_path / "out.jsonl"
    lora = {"rank": both.exported / "lora" / "rank"}

    def run(server, progress=None):
        addresses = {"rank_url": server.url, "write_url": served.write_url}
        return run_batch(str(both.exported), source, output, BatchOptions("vllm", 2, items, addresses), progress)

    def kill(_, done, __):
        if done >= 32:
            os.killpg(server.process.pid, signal.SIGKILL)

    server = VllmServer(both.exported / "rank", lora)
    try:
        server.wait()
        with pytest.raises(EngineLostError, match="gone"):
            run(server, kill)
    finally:
        server.close()
    assert not output.exists() and 32 <= len(read_lines(tmp_path / ".out.jsonl.partial")) < 160
    server = VllmServer(both.exported / "rank", lora)
    try:
        server.wait()
        report = run(server)
    finally:
        server.close()
    assert report.errors == 0 and report.written_now < report.lines == 160
    assert [line["custom_id"] for line in read_lines(output)] == [f"r{n}" for n in range(160)]


def test_a_killed_batch_over_vllm_goes_on_where_it_was(both, served, items, tmp_path):
    source, output = write_lines(tmp_path / "in.jsonl", requests(200)), tmp_path / "out.jsonl"
    files = ["--input", source, "--output", output, "--items", items, "--json"]
    command = [sys.executable, "-m", "recommender", "batch", both.exported, *joined(served), *files]
    process = subprocess.Popen(command)
    partial = tmp_path / ".out.jsonl.partial"
    while process.poll() is None and not (partial.exists() and partial.stat().st_size > 1000):
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)[0]
    assert 0 < report["written_now"] < 200 == report["lines"] and report["errors"] == 0
    assert [line["custom_id"] for line in read_lines(output)] == [f"r{n}" for n in range(200)]


def test_a_batch_whose_own_server_is_killed_stops_and_the_same_command_finishes_it(both, items, tmp_path):
    """`kill -9` of the server that ranks, one that the batch itself has started; the next run starts another."""
    vllm = both.vllm  # skips where there is none
    assert vllm.is_alive()
    source, output = write_lines(tmp_path / "in.jsonl", requests(1000)), tmp_path / "out.jsonl"
    files = ["--input", source, "--output", output, "--items", items, "--json"]
    command = [sys.executable, "-m", "recommender", "batch", both.exported, "--engine", "vllm", *files]
    partial = tmp_path / ".out.jsonl.partial"
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (partial.exists() and partial.stat().st_size > 1000):
        time.sleep(0.01)
    servers = servers_of(process)
    assert servers.keys() == {"rank", "write"}
    os.kill(servers["rank"], signal.SIGKILL)
    stderr = process.communicate(timeout=120)[1]
    assert process.returncode not in (0, -signal.SIGKILL) and "is gone" in stderr and "Traceback" not in stderr
    assert not any(map(alive_in, servers.values()))
    done = len(read_lines(partial))
    assert not output.exists() and 0 < done < 1000
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)[0]
    assert report == {"lines": 1000, "written_now": 1000 - done, "errors": 0}
    lines = read_lines(output)
    assert [line["custom_id"] for line in lines] == [f"r{n}" for n in range(1000)]
    assert all(len(line["items"]) == 3 for line in lines)


def test_vllm_is_ended_when_who_started_it_is_killed(both, served):
    script = (
        "import sys; from pathlib import Path; from recommender.engine.vllm_server import VllmServer\n"
        "server = VllmServer(Path(sys.argv[1]), {}); print(server.process.pid, flush=True); server.process.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", script, both.exported / "rank"], stdout=subprocess.PIPE) as parent:
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
    until = time.monotonic() + 20
    stat = Path(f"/proc/{child}/stat")
    while stat.exists() and stat.read_text().split()[2] != "Z":
        assert time.monotonic() < until
        time.sleep(0.1)


def test_http_says_that_a_dead_engine_does_not_answer(both, served):
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    catalogue = both.checkpoint.catalogue
    engine = VllmRecommender(load_exported(both.exported, catalogue), VllmOptions(nobody, served.write_url))
    server = Server(engine)
    try:
        status, headers, text = server.post(RANK, {"k": 3})
        assert status == 503 and headers["Retry-After"] == "1" and json.loads(text)["error"]["code"] == "engine_lost"
        assert server.get("/readyz")[0] == 503 and server.get("/healthz")[0] == 200
    finally:
        server.close()


def test_sigterm_drains_a_server_over_vllm(both, served, items):
    check_that_it_drains(str(both.exported), *joined(served), "--items", str(items))


def test_the_benchmark_says_why_a_request_failed(served):
    settings = EnginesSettings(longest=6, k=5)
    failures = answers_or_errors(served.with_adapter("nobody"), drawn_requests(served, 3, settings, seed=2), None)
    assert len(failures) == 3 and all("no adapter 'nobody'" in reason for reason in failures)
