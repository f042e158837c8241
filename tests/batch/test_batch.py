"""Batches: what comes in comes out, in order, once; errors are lines; a kill loses and repeats nothing."""

import json
import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recommender.batch import Options, run_batch
from recommender.data.catalogue import Catalogue
from recommender.errors import DataError
from recommender.model.checkpoint import save_pretrained
from tests.conftest import write_tables


@pytest.fixture
def model(make_checkpoint, catalogue, histories, config, tmp_path):
    tables = write_tables(tmp_path, catalogue, histories)
    settings = config.updated({"data.items": tables["items"]})
    checkpoint = make_checkpoint(settings=settings)
    checkpoint.catalogue = Catalogue.load(tables["items"])
    save_pretrained(checkpoint, tmp_path / "model")
    return str(tmp_path / "model")


def write_lines(path, lines):
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def requests(count, **more):
    return [
        {"custom_id": f"r{n}", "history": [str(100 + n % 20)], "k": 3, "explain": False, **more} for n in range(count)
    ]


def test_every_line_is_answered_in_order_and_bad_ones_say_why(model, tmp_path):
    bad = ["{not json", "[1]", {"k": 3}, {"custom_id": "x", "k": "many"}, {"custom_id": "y", "history": ["no"]}]
    lines = [*requests(20), *bad, *requests(1), {"custom_id": "z", "k": 2, "explain": True, "history": [101]}]
    report = run_batch(model, write_lines(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl")
    written = read_lines(tmp_path / "out.jsonl")
    assert report.lines == len(written) == 27 and report.errors == 6
    assert [line["custom_id"] for line in written[:20]] == [f"r{n}" for n in range(20)]
    assert all(len(line["items"]) == 3 for line in written[:20])
    told = [line["error"]["message"] for line in written[20:26]]
    for message, part in zip(
        told, ["line 21", "no JSON object", "no custom_id", "k: ", "'no'", "earlier"], strict=True
    ):
        assert part in message
    assert written[26]["items"][0]["justification"] and written[26]["items"][0]["evidence"]
    assert sorted(path.name for path in tmp_path.glob(".out*")) == []


def test_parquet_in_and_out(model, tmp_path):
    pq.write_table(pa.Table.from_pylist(requests(5)), tmp_path / "in.parquet")
    run_batch(model, tmp_path / "in.parquet", tmp_path / "out.parquet")
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["custom_id"] for row in rows] == [f"r{n}" for n in range(5)]
    assert all(len(json.loads(row["items"])) == 3 for row in rows)


def test_lines_of_a_run_batch_file(model, tmp_path):
    body = {"model": "m", "history": ["103"], "k": 2, "explain": False}
    lines = [
        {"custom_id": "a", "method": "POST", "url": url, "body": body} for url in ("/v1/recommendations", "/v1/no")
    ]
    run_batch(model, write_lines(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl")
    good, wrong = read_lines(tmp_path / "out.jsonl")
    assert good["response"]["status_code"] == 200 and len(good["response"]["body"]["items"]) == 2
    assert wrong["response"]["status_code"] == 400 and wrong["response"]["body"]["error"]["code"] == "invalid_request"


def test_killed_and_started_again_nothing_is_lost_or_twice(model, tmp_path):
    source, output = write_lines(tmp_path / "in.jsonl", requests(1000)), tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "recommender", "batch", model, "--input", source, "--output", output, "--json"]
    process = subprocess.Popen([*command, "--workers", "2"], start_new_session=True)
    partial = tmp_path / ".out.jsonl.partial"
    while process.poll() is None and not (partial.exists() and partial.stat().st_size > 5000):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with partial.open("a") as file:
        file.write('{"custom_id": "cut')  # as if the kill had come within a line
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)[0]
    assert 0 < report["written_now"] < 1000 == report["lines"]
    assert [line["custom_id"] for line in read_lines(output)] == [f"r{n}" for n in range(1000)]


def test_what_stands_there_is_never_mixed_with_another_batch(model, tmp_path):
    source, output = write_lines(tmp_path / "in.jsonl", requests(3)), tmp_path / "out.jsonl"
    (tmp_path / ".out.jsonl.partial").write_text("{}\n")
    (tmp_path / ".out.jsonl.identity").write_text("another")
    with pytest.raises(DataError, match="another input"):
        run_batch(model, source, output)
    output.write_text("")
    with pytest.raises(DataError, match="is there already"):
        run_batch(model, source, output)
    with pytest.raises(DataError, match=r"neither .jsonl nor"):
        run_batch(model, source, tmp_path / "out.csv")
    with pytest.raises(DataError, match="no such file"):
        run_batch(model, tmp_path / "none.jsonl", tmp_path / "new.jsonl", Options())
