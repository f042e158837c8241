"""Batches: what comes in comes out, in order, once; errors are lines; a kill loses and repeats nothing."""

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from recommender.batch import BatchOptions, BatchReport, run_batch, runner
from recommender.batch.request_files import PartialOutput
from recommender.batch.request_lines import read_line
from recommender.batch.runner import answer_group
from recommender.cli.command_line import app
from recommender.engine import RankedItem, Response
from recommender.errors import CheckpointError, DataError, EngineLostError, RecommenderError
from recommender.model.checkpoint import from_pretrained, save_pretrained
from tests.batch.batch_files import read_lines, requests, write_lines
from tests.copies import begin_command


class FakeEngine:
    """Answers each history with one item of that id; `broken` breaks a group, `unknown` is an error of its request."""

    def __init__(self, on_group=lambda requests: None):
        self.on_group, self.group_sizes, self.closed = on_group, [], False

    def answer_many(self, requests):
        self.on_group(requests)
        self.group_sizes.append(len(requests))
        if any("broken" in request.history for request in requests):
            raise ZeroDivisionError("division by zero")
        return [
            RecommenderError("unknown item") if "unknown" in request.history else answer_of(request)
            for request in requests
        ]

    def close(self):
        self.closed = True


def answer_of(request):
    return Response((RankedItem(1, request.history[0], "Title", -1.0),))


@pytest.fixture
def opened(monkeypatch):
    """Have batches open a fake engine; returns what they opened."""
    engines = []

    def use(engine):
        monkeypatch.setattr(runner, "open_engine", lambda *_, **__: engines.append(engine) or engine)
        return engine

    use.engines = engines
    return use


def lines_of(*histories):
    return [read_line(n, {"custom_id": f"r{n}", "history": [h]}) for n, h in enumerate(histories, start=1)]


def test_every_line_is_answered_in_order_and_bad_ones_say_why(model, tmp_path):
    bad = ["{not json", "[1]", {"k": 3}, {"custom_id": "x", "k": "many"}, {"custom_id": "y", "history": ["no"]}]
    lines = [*requests(20), *bad, *requests(1), {"custom_id": "z", "k": 2, "explain": True, "history": [101]}]
    report = run_batch(model, write_lines(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl")
    written = read_lines(tmp_path / "out.jsonl")
    assert report.lines == len(written) == 27 and report.errors == 6
    assert [line["custom_id"] for line in written[:20]] == [f"r{n}" for n in range(20)]
    assert all(len(line["items"]) == 3 for line in written[:20])
    messages = [line["error"]["message"] for line in written[20:26]]
    parts = ["line 21", "no JSON object", "no custom_id", "k: ", "'no'", "earlier"]
    assert all(part in message for message, part in zip(messages, parts, strict=True))
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


def test_an_existing_output_is_never_mixed_with_another_batch(model, tmp_path):
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
        run_batch(model, tmp_path / "none.jsonl", tmp_path / "new.jsonl", BatchOptions())


def test_each_line_of_a_group_gets_its_own_answer_or_error():
    lines = lines_of("a", "unknown", "b")
    lines.insert(1, read_line(9, "{broken"))
    answers = answer_group(FakeEngine(), lines)
    assert [answer["custom_id"] for answer in answers] == ["r1", None, "r2", "r3"]
    assert [answer["items"][0]["item_id"] for answer in (answers[0], answers[3])] == ["a", "b"]
    assert answers[1]["error"]["code"] == answers[2]["error"]["code"] == "invalid_request"
    assert "line 9" in answers[1]["error"]["message"] and answers[2]["error"]["message"] == "unknown item"


def test_a_request_that_breaks_its_group_leaves_the_others_answered():
    engine = FakeEngine()
    answers = answer_group(engine, lines_of("a", "broken", "b"))
    assert engine.group_sizes == [3, 1, 1, 1]
    assert answers[0]["items"] and answers[2]["items"]
    assert answers[1]["error"] == {"code": "internal_error", "message": "ZeroDivisionError: division by zero"}


def test_a_group_of_errors_only_asks_nothing_of_the_engine():
    assert "error" in answer_group(None, [read_line(1, "{")])[0]


def test_an_engine_that_is_lost_ends_the_batch_and_keeps_what_was_written(opened, tmp_path):
    def lose_the_third_group(requests):
        if "r32" in {request.history[0] for request in requests}:
            raise EngineLostError("the server is gone")

    source = write_lines(tmp_path / "in.jsonl", [r | {"history": [r["custom_id"]]} for r in requests(50)])
    engine = opened(FakeEngine(lose_the_third_group))
    with pytest.raises(EngineLostError):
        run_batch("model", source, tmp_path / "out.jsonl")
    written = read_lines(tmp_path / ".out.jsonl.partial")
    assert engine.closed and not (tmp_path / "out.jsonl").exists()
    assert [line["custom_id"] for line in written] == [f"r{n}" for n in range(32)]
    opened(FakeEngine())
    assert run_batch("model", source, tmp_path / "out.jsonl") == BatchReport(50, 18, 0)
    assert [line["custom_id"] for line in read_lines(tmp_path / "out.jsonl")] == [f"r{n}" for n in range(50)]


def test_several_connections_keep_the_order_and_report_progress(opened, tmp_path):
    slow_first = threading.Event()

    def hold_the_first_group(requests):
        if requests[0].history == ("r0",):
            assert slow_first.wait(10)  # until the second group is answered
        else:
            slow_first.set()

    source = write_lines(tmp_path / "in.jsonl", [r | {"history": [r["custom_id"]]} for r in requests(40)])
    engine, steps = opened(FakeEngine(hold_the_first_group)), []
    options = BatchOptions("vllm", workers=2, engine_options={"rank_url": "x"})
    report = run_batch("model", source, tmp_path / "out.jsonl", options, lambda *step: steps.append(step))
    assert report == BatchReport(40, 40, 0) and engine.closed
    assert [line["items"][0]["item_id"] for line in read_lines(tmp_path / "out.jsonl")] == [f"r{n}" for n in range(40)]
    assert steps == [("batch", 16, 40), ("batch", 32, 40), ("batch", 40, 40)]


def test_at_most_so_many_groups_are_under_way():
    started = []
    groups = ([number] for number in range(10))
    with ThreadPoolExecutor(1) as pool:
        answers = runner.in_order(pool, lambda group: started.append(group[0]) or group, groups, ahead=3)
        assert next(answers) == [0]
        time.sleep(0.05)
        assert started == [0, 1, 2]
        assert [group[0] for group in answers] == list(range(1, 10))


def test_an_empty_file_is_an_empty_output(opened, tmp_path):
    opened(FakeEngine())
    assert run_batch("model", write_lines(tmp_path / "in.jsonl", []), tmp_path / "out.jsonl") == BatchReport(0, 0, 0)
    assert (tmp_path / "out.jsonl").read_text() == ""


@pytest.mark.parametrize(("explain", "workers"), [(True, 1), (False, 1), pytest.param(True, 2, marks=pytest.mark.slow)])
def test_that_sentences_are_plain_is_said_once(model, tmp_path, caplog, explain, workers):
    lines = [{"custom_id": str(n), "history": ["101"], "k": 1, "explain": explain} for n in range(20)]
    write_lines(tmp_path / "in.jsonl", lines)
    run_batch(str(model), tmp_path / "in.jsonl", tmp_path / "out.jsonl", BatchOptions(workers=workers))
    said = [record.getMessage() for record in caplog.records if "plain" in record.getMessage()]
    assert len(said) == explain and all("never trained" in message for message in said)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_missing_model_is_named_before_workers_start(tmp_path, workers):
    write_lines(tmp_path / "in.jsonl", requests(3))
    with pytest.raises(RecommenderError, match="no such checkpoint folder"):
        run_batch("nothing", tmp_path / "in.jsonl", tmp_path / "out.jsonl", BatchOptions(workers=workers))


# --- one batch, one model


@pytest.fixture
def begun(model, tmp_path):
    """A batch of explained lines that was killed behind its third line; returns input and output."""
    source = write_lines(tmp_path / "in.jsonl", requests(6, explain=True))
    lines = []

    def kill(what, done, total):
        lines.append(done)
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch(model, source, tmp_path / "out.jsonl", progress=kill)
    assert lines == [1, 2, 3]
    return source, tmp_path / "out.jsonl"


def test_lines_that_are_explained_are_written_one_by_one_and_kept(model, begun, caplog):
    source, output = begun
    assert len(read_lines(output.with_name(".out.jsonl.partial"))) == 3
    said = caplog.get_records("setup")[-1].getMessage()
    assert "3 of 6 lines are kept" in said and "the same command goes on" in said
    assert run_batch(model, source, output) == BatchReport(6, 3, 0)
    assert [line["custom_id"] for line in read_lines(output)] == [f"r{n}" for n in range(6)]


def _retrain(folder, checkpoint, tables):
    with torch.no_grad():
        checkpoint.model.rows.add_(1)
    save_pretrained(checkpoint, folder)


def _describe(folder, checkpoint, tables):
    rows = Path(tables["items"]).read_text().splitlines()
    described = [f"{row},{'description' if n == 0 else 'a story'}" for n, row in enumerate(rows)]
    Path(tables["items"]).write_text("\n".join(described) + "\n")


def _other_settings(folder, checkpoint, tables):
    checkpoint.config = checkpoint.config.updated({"decoding.beam": 9})
    save_pretrained(checkpoint, folder)


def _other_base(folder, checkpoint, tables):
    base = Path(checkpoint.config.base.llm)
    (base / "note").write_text("other weights")


@pytest.mark.parametrize(
    ("change", "said"),
    [(_retrain, "model"), (_other_settings, "model"), (_describe, "items"), (_other_base, "base model")],
)
def test_a_folder_with_another_content_is_another_model(make_checkpoint, model, begun, tmp_path, change, said):
    source, output = begun
    checkpoint = from_pretrained(model)
    tables = {"items": checkpoint.config.data.items}
    try:
        change(model, checkpoint, tables)
        with pytest.raises(DataError, match=rf"another input, model or other options \(other {said}\)"):
            run_batch(model, source, output)
    finally:
        (Path(checkpoint.config.base.llm) / "note").unlink(missing_ok=True)
    assert len(read_lines(output.with_name(".out.jsonl.partial"))) == 3


def test_a_copy_of_the_model_is_the_same_model(model, begun, tmp_path):
    source, output = begun
    shutil.move(model, tmp_path / "moved")
    assert run_batch(str(tmp_path / "moved"), source, output).written_now == 3


def test_a_model_that_changes_while_it_is_opened_answers_nothing(model, tmp_path, monkeypatch):
    opened = runner.open_engine

    def change_then_open(*arguments, **options):
        engine = opened(*arguments, **options)
        _other_settings(model, from_pretrained(model), {})
        return engine

    monkeypatch.setattr(runner, "open_engine", change_then_open)
    with pytest.raises(DataError, match="was changed while it was opened"):
        run_batch(model, write_lines(tmp_path / "in.jsonl", requests(2)), tmp_path / "out.jsonl")


def test_a_partial_output_of_which_nothing_is_known_is_not_taken_up(model, begun):
    source, output = begun
    output.with_name(".out.jsonl.identity").unlink()
    with pytest.raises(DataError, match="nothing says of which"):
        run_batch(model, source, output)


def test_two_at_once_do_not_write_one_output(model, tmp_path, opened):
    opened(FakeEngine())
    source, held = write_lines(tmp_path / "in.jsonl", requests(3)), PartialOutput(tmp_path / "out.jsonl", "first")
    with pytest.raises(
        RecommenderError, match=rf"out.jsonl: is held by .* {os.getpid()} on .*batch|is held by"
    ) as error:
        _in_a_thread(lambda: run_batch("model", source, tmp_path / "out.jsonl"))
    assert "name another output" in error.value.hint
    held.close()
    (tmp_path / ".out.jsonl.partial").unlink()
    assert run_batch("model", source, tmp_path / "out.jsonl").lines == 3


def _in_a_thread(call):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


# --- stopping


@pytest.mark.parametrize(
    ("number", "workers"), [(signal.SIGINT, "1"), pytest.param(signal.SIGTERM, "2", marks=pytest.mark.slow)]
)
def test_a_signal_ends_it_at_once_and_keeps_the_lines(model, tmp_path, number, workers):
    source, output = write_lines(tmp_path / "in.jsonl", requests(3000, explain=True, k=5)), tmp_path / "out.jsonl"
    errors = tmp_path / "errors"
    with errors.open("w") as log:
        command = ["batch", model, "--input", source, "--output", output, "--workers", workers]
        process = begin_command(*command, streams=[log.fileno()] * 3, group=True)
    partial = tmp_path / ".out.jsonl.partial"
    while process.is_alive() and not (partial.exists() and partial.stat().st_size > 5000):
        time.sleep(0.02)
    started = time.monotonic()
    os.kill(process.pid, number)
    process.join(30)
    assert time.monotonic() - started < 10  # a second, on a machine that does nothing else
    said = errors.read_text()
    assert process.exitcode == 128 + number, said
    kept = read_lines(partial)
    assert [line["custom_id"] for line in kept] == [f"r{n}" for n in range(len(kept))]
    assert f"stopped: {len(kept)} of 3000 lines are kept" in said and "Traceback" not in said
    _wait_for_end_of_group(process.pid)


def test_killed_and_started_again_its_workers_have_ended_and_nothing_is_lost_or_twice(model, tmp_path, monkeypatch):
    fork = multiprocessing.get_context("fork")  # spawned workers import everything anew
    monkeypatch.setattr(runner.multiprocessing, "get_context", lambda _: fork)
    source, output = write_lines(tmp_path / "in.jsonl", requests(400)), tmp_path / "out.jsonl"
    command = ["batch", model, "--input", str(source), "--output", str(output), "--json"]
    process = begin_command(*command, "--workers", 2, group=True)
    partial = tmp_path / ".out.jsonl.partial"
    while process.is_alive() and not (partial.exists() and partial.stat().st_size > 1000):
        time.sleep(0.02)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    _wait_for_end_of_group(process.pid)
    with partial.open("a") as file:
        file.write('{"custom_id": "cut')  # as if the kill had come within a line
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)[0]
    assert 0 < report["written_now"] < 400 == report["lines"]
    assert [line["custom_id"] for line in read_lines(output)] == [f"r{n}" for n in range(400)]


def _wait_for_end_of_group(group):
    deadline = time.monotonic() + 10
    while _alive_in_group(group) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _alive_in_group(group) == []


def _alive_in_group(group):
    """Return the processes of a group that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(folder.name))
    return found


@pytest.mark.parametrize("which", ["rank_url", "write_url"])
def test_another_server_is_another_batch(tmp_path, which):
    """Nothing says what a server answers with, so that its lines are not mixed with those of another."""
    source, output = write_lines(tmp_path / "in.jsonl", requests(2)), tmp_path / "out.jsonl"

    def run(port):
        options = {"rank_url": "http://localhost:1", which: f"http://localhost:{port}"}
        run_batch(str(tmp_path / "gone"), source, output, BatchOptions("vllm", engine_options=options))

    with pytest.raises(CheckpointError):
        run(1)  # begins; no model is there
    output.with_name(".out.jsonl.partial").write_text('{"custom_id": "r0"}\n')
    with pytest.raises(DataError, match=f"other server at {which}"):
        run(2)
    with pytest.raises(CheckpointError):
        run(1)
