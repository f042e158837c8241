"""Batches of parts: a part is answered whole, once, and whatever is wrong with one stops no other."""

import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recommender.batch import BatchOptions, parts, request_files, run_batch, run_parts
from recommender.errors import DataError, EngineLostError
from tests.batch.batch_files import read_lines, requests, write_lines
from tests.batch.test_runner import FakeEngine


@pytest.fixture
def engine(monkeypatch):
    fake = FakeEngine()
    monkeypatch.setattr(parts, "open_unchanged", lambda *_: fake)
    return fake


@pytest.fixture
def source(tmp_path):
    """Three parts of four requests each."""
    folder = tmp_path / "requests"
    folder.mkdir()
    lines = requests(12)
    for number in range(3):
        write_lines(folder / f"part-{number}.jsonl", lines[4 * number : 4 * number + 4])
    return folder


def answered(target):
    return sorted(line for path in target.glob("*.jsonl") for line in path.read_bytes().splitlines())


def test_parts_hold_together_what_one_file_does(model, tmp_path):
    (tmp_path / "in").mkdir()
    lines = requests(48)
    for number in range(3):
        write_lines(tmp_path / "in" / f"part-{number}.jsonl", lines[16 * number : 16 * number + 16])
    write_lines(tmp_path / "whole.jsonl", lines)
    run_batch(model, tmp_path / "whole.jsonl", tmp_path / "answers.jsonl")
    report = run_parts(model, tmp_path / "in", tmp_path / "out")
    assert (report.parts, report.lines, report.written_now, report.errors) == (3, 48, 48, 0)
    assert answered(tmp_path / "out") == sorted((tmp_path / "answers.jsonl").read_bytes().splitlines())


def test_a_batch_that_was_stopped_goes_on_with_the_parts_that_are_missing(engine, source, tmp_path):
    target = tmp_path / "out"

    def stop(what, done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_parts("m", source, target, progress=stop)
    assert sorted(path.name for path in target.glob("part-*")) == ["part-0.jsonl", "part-1.jsonl"]
    (target / ".part-2.1-1.tmp.jsonl").write_text("cut off")
    (target / "part-1.jsonl").unlink()  # its book alone vouches for nothing
    report = run_parts("m", source, target)
    assert (report.parts, report.lines, report.written_now) == (3, 12, 8)
    assert [json.loads(line)["custom_id"] for line in answered(target)] == sorted(f"r{n}" for n in range(12))
    assert sorted(os.listdir(target)) == [".batch", "part-0.jsonl", "part-1.jsonl", "part-2.jsonl"]
    write_lines(source / "part-3.jsonl", requests(1))
    assert run_parts("m", source, target).written_now == 1


def test_what_is_wrong_with_a_part_is_said_with_its_row(engine, source, tmp_path, monkeypatch):
    monkeypatch.setattr(request_files, "_TABLE_ROWS", 100)
    table = pa.Table.from_pylist(requests(500))
    pq.write_table(table, source / "broken.parquet", row_group_size=100)
    third = pq.ParquetFile(source / "broken.parquet").metadata.row_group(2).column(0).data_page_offset
    whole = bytearray((source / "broken.parquet").read_bytes())
    whole[third : third + 40] = bytes(40)
    (source / "broken.parquet").write_bytes(whole)
    with (source / "part-1.jsonl").open("a") as file:
        file.write('{"custom_id": "cut", "hist\n')
    report = run_parts("m", source, tmp_path / "out")
    assert report.parts == 3 and report.lines == 13 and report.errors == 1
    assert report.notes == (f"part-1.jsonl: 1 lines are no requests; {_error(tmp_path / 'out' / 'part-1.jsonl')}",)
    assert "line 5 is not valid JSON" in report.notes[0]
    with pytest.raises(DataError, match=r"broken\.parquet: not a readable parquet file from row 201 on"):
        report.raise_failures()
    assert not (tmp_path / "out" / "broken.parquet").exists()
    pq.write_table(table, source / "broken.parquet")
    mended = run_parts("m", source, tmp_path / "out")
    assert mended.failed == () and mended.written_now == 500
    assert pq.read_table(tmp_path / "out" / "broken.parquet").num_rows == 500


def _error(path):
    return next(line["error"]["message"] for line in read_lines(path) if "error" in line)


def test_parts_that_changed_and_other_models_are_refused(engine, source, tmp_path):
    run_parts("m", source, tmp_path / "out")
    write_lines(source / "part-0.jsonl", requests(3))
    report = run_parts("m", source, tmp_path / "out")
    assert report.parts == 2 and "its requests are others" in report.failed[0]
    (tmp_path / "out" / "part-0.jsonl").unlink()
    assert run_parts("m", source, tmp_path / "out").written_now == 3
    with pytest.raises(DataError, match="other model"):
        run_parts("another", source, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "content", "match"), [("part.csv", "a", "neither .jsonl nor .parquet"), ("_SUCCESS", "", "holds no")]
)
def test_folders_that_are_no_batch_are_one_line(tmp_path, name, content, match):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_text(content)
    with pytest.raises(DataError, match=match):
        run_parts("m", tmp_path / "in", tmp_path / "out")


def test_a_folder_with_other_things_is_not_written_to(engine, source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="other things in it"):
        run_parts("m", source, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["thesis.txt"]


def test_a_worker_that_does_not_see_the_folder_says_so(engine, tmp_path):
    with pytest.raises(DataError, match="is not seen by"):
        parts.PartWorker("m", BatchOptions(), {}, tmp_path, "identity")


def test_a_lost_engine_is_opened_once_more(engine, source, tmp_path):
    lost = [EngineLostError("gone")]

    def lose(requests):
        if lost:
            raise lost.pop()

    engine.on_group = lose
    assert run_parts("m", source, tmp_path / "out").errors == 0 and engine.closed
    engine.on_group = lambda requests: (_ for _ in ()).throw(EngineLostError("gone"))
    with pytest.raises(EngineLostError):
        run_parts("m", source, tmp_path / "again")
