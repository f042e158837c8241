"""Batches, encoders and evaluations on a Ray of this machine: the same as here, also when a worker dies on the way."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from recommender.batch import run_parts
from recommender.batch.parts import BOOKS
from recommender.cluster import ClusterOptions, connected
from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.encoders.encoding_cache import EncodingCache
from recommender.encoders.on_cluster import fill_cache
from recommender.encoders.pipeline import encode_catalogue
from recommender.model.checkpoint import save_pretrained
from recommender.studies.comparison import EvaluationOptions, evaluate
from tests.batch.batch_files import requests, write_lines
from tests.conftest import write_tables

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def two_workers():
    pytest.importorskip("ray", reason="needs the extra ray")
    with connected(ClusterOptions(workers=2)) as cluster:
        yield cluster


@pytest.fixture
def world(make_checkpoint, catalogue, histories, config, tmp_path):
    """The folder of a tiny checkpoint and its tables."""
    tables = write_tables(tmp_path, catalogue, histories)
    checkpoint = make_checkpoint(
        settings=config.updated({"data.items": tables["items"], "data.interactions": tables["interactions"]})
    )
    checkpoint.catalogue = Catalogue.load(tables["items"])
    save_pretrained(checkpoint, tmp_path / "model")
    return str(tmp_path / "model")


def test_a_batch_loses_and_repeats_nothing_when_a_worker_is_killed(two_workers, world, tmp_path):
    (tmp_path / "in").mkdir()
    lines = requests(640)
    for number in range(10):
        write_lines(tmp_path / "in" / f"part-{number}.jsonl", lines[64 * number : 64 * number + 64])
    here = run_parts(world, tmp_path / "in", tmp_path / "here")
    killed = []

    def kill_one():
        while not killed:
            for path in (tmp_path / "there").glob(".part-*.tmp.jsonl"):  # a worker is writing it
                process = int(path.name.split(".")[2].split("-")[0])
                os.kill(process, signal.SIGKILL)
                killed.append(process)
                return
            time.sleep(0.005)

    thread = threading.Thread(target=kill_one, daemon=True)
    thread.start()
    report = run_parts(world, tmp_path / "in", tmp_path / "there", cluster=two_workers)
    assert killed and killed[0] != os.getpid()
    assert (report.parts, report.lines, report.errors, report.failed) == (10, 640, here.errors, ())
    names = [f"part-{number}.jsonl" for number in range(10)]
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == [BOOKS, *names]
    for name in names:
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    assert run_parts(world, tmp_path / "in", tmp_path / "there", cluster=two_workers).written_now == 0


def test_encoders_fill_the_cache_with_the_same_vectors(two_workers, catalogue, text_folder, tmp_path):
    settings = Config.parse({"encoders": {"text": str(text_folder), "image": None, "audio": None, "batch_size": 3}})
    there = settings.encoders.model_copy(update={"cache": str(tmp_path / "there")})
    here = settings.encoders.model_copy(update={"cache": str(tmp_path / "here")})
    fill_cache(catalogue, there, two_workers)
    expected = encode_catalogue(catalogue, here)
    found = encode_catalogue(catalogue, there)
    assert found.tallies["text"].computed == 0 and found.tallies["text"].distinct == len(catalogue)
    assert np.array_equal(found.vectors["text"], expected.vectors["text"])
    assert EncodingCache(tmp_path / "there").path.is_file()
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["encodings.sqlite"]


def test_an_evaluation_is_that_of_one_process(two_workers, world, tmp_path):
    expected = evaluate([world, "popularity"], output=tmp_path / "here")
    found = evaluate([world, "popularity"], output=tmp_path / "there", options=EvaluationOptions(cluster=two_workers))
    columns = [name for name in expected.per_user.columns if "seconds" not in name]
    assert found.per_user[columns].equals(expected.per_user[columns])
    assert not (tmp_path / "there" / ".rankings").exists()


def test_what_becomes_of_workers_is_not_among_the_results():
    command = [sys.executable, "-m", "recommender", "bench", "batch", "--tiny", "--lines", "3000", "--part", "50"]
    run = subprocess.run(
        [*command, "--on", "ray", "--kill", "--json", "-q"], capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    rows = json.loads(run.stdout)["rows"]
    assert [row["identical"] for row in rows] == [None, True, True]
    assert "worker died" in run.stderr, "Ray told of the killed worker where it is no result"
