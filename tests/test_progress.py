"""Progress on standard error: one bar a work, however its description changes."""

import logging

import pytest

from recommender import progress
from recommender.progress import PrintableFormatter, progress_bars


def test_a_work_that_tells_its_loss_has_one_bar(capsys):
    with progress_bars() as report:
        report("rank, loss 7.10", 1, 4)
        report("rank, loss 5.60", 4, 4)
        report("align, loss 2.00", 2, 4)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "rank, loss 5.60" in captured.err and "4/4" in captured.err
    assert "rank, loss 7.10" not in captured.err.splitlines()[-1] and "2/4" in captured.err
    assert len([line for line in captured.err.splitlines() if "loss" in line]) == 2


def test_quiet_is_silent(capsys):
    with progress_bars(quiet=True) as report:
        report("rank", 1, 2)
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == ""


def test_into_a_file_it_writes_a_line_now_and_then_and_at_the_end(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress_bars() as report:
        for done in range(1, 101):
            now[0] += 1.0
            report(f"rank, loss {done}.00", done, 100)
        report("encoding", 3, 3)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[3] for line in lines if "loss" in line] == ["30/100,", "60/100,", "90/100,", "100/100,"]
    assert lines[0] == "rank, loss 30.00 30/100, 0:00:29, 0:01:10 left"
    assert lines[-2:] == ["rank, loss 100.00 100/100, 0:01:39", "encoding 3/3, 0:00:00"]


def test_a_work_that_is_resumed_tells_the_time_left_by_its_own_speed(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress_bars() as report:
        report("rank", 900, 1000)
        now[0] = 60.0
        report("rank", 950, 1000)
    assert capsys.readouterr().err.splitlines() == ["rank 950/1000, 0:01:00, 0:01:00 left"]


def test_what_did_not_end_is_written_when_all_is_over(capsys, monkeypatch):
    monkeypatch.setattr(progress.time, "monotonic", lambda: 0.0)
    with pytest.raises(RuntimeError), progress_bars() as report:
        report("encoding", 1, 4)
        report("encoding", 2, 4)
        report("ranking, loss 3", 1, 3)
        raise RuntimeError
    assert capsys.readouterr().err.splitlines() == [
        "encoding 2/4, 0:00:00, 0:00:00 left",
        "ranking, loss 3 1/3, 0:00:00",
    ]


def test_the_logger_is_left_as_it_was(capsys):
    before = progress.logger.level, progress.logger.propagate, list(progress.logger.handlers)
    with progress_bars():
        assert len(progress.logger.handlers) == len(before[2]) + 1
    assert (progress.logger.level, progress.logger.propagate, list(progress.logger.handlers)) == before


def test_times_are_hours_minutes_and_seconds(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress_bars() as report:
        report("training", 0, 10)
        now[0] = 3725.0
        report("training", 5, 10)
    assert capsys.readouterr().err.splitlines()[-1] == "training 5/10, 1:02:05, 1:02:05 left"


def test_notes_show_control_characters_escaped_and_keep_their_lines():
    record = logging.LogRecord("a", logging.WARNING, "f", 1, "%s:\n\tis long", ("\x1b[2J",), None)
    assert PrintableFormatter().format(record) == "\\u001b[2J:\n\tis long"
