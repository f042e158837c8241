"""The picture and the page of a training run, and a training without matplotlib."""

import logging
import sys

from PIL import Image

from recommender.training.training_report import write_training_report

ROWS = [
    {"number": number, "stage": stage, "step": step, "loss": 5.0 - step, "validation": 0.1 * step if step == 2 else ""}
    for number, stage in enumerate(["align", "rank"])
    for step in range(3)
]


def test_a_panel_a_stage(tmp_path):
    for name, rows in (("one", ROWS[:3]), ("two", ROWS)):
        (tmp_path / name).mkdir()
        write_training_report(rows, tmp_path / name)
    with Image.open(tmp_path / "one" / "loss.png") as one, Image.open(tmp_path / "two" / "loss.png") as two:
        assert two.width == 2 * one.width and two.height == one.height and one.width > 300


def test_the_page_tells_how_each_stage_went(tmp_path):
    write_training_report(ROWS, tmp_path, {"seed": 7})
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png") == 1 and "seed 7" in page and "2 stages, 4 steps" in page
    row = page[page.index(">rank<") :]
    assert row.index(">5<") < row.index(">3<") < row.index(">NDCG@10<") < row.index(">0.2<")


def test_no_step_is_a_plot_too(tmp_path):
    write_training_report([], tmp_path)
    with Image.open(tmp_path / "loss.png") as plot:
        assert plot.width > 300
    assert "0 stages" in (tmp_path / "report.html").read_text()


def test_without_matplotlib_one_note_and_no_plot(tmp_path, monkeypatch, caplog):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with caplog.at_level(logging.WARNING):
        write_training_report(ROWS, tmp_path)
    assert not (tmp_path / "loss.png").exists() and "<img" not in (tmp_path / "report.html").read_text()
    (record,) = caplog.records
    assert "loss.png needs the package matplotlib" in record.getMessage() and "recommender[eval]" in record.getMessage()
