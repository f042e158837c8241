"""The picture of a training run, and a training without matplotlib."""

import logging
import sys

from PIL import Image

from recommender.training.loss_plot import plot_log

ROWS = [
    {"number": number, "stage": stage, "step": step, "loss": 5.0 - step, "validation": 0.1 * step if step == 2 else ""}
    for number, stage in enumerate(["align", "rank"])
    for step in range(3)
]


def test_a_panel_a_stage(tmp_path):
    plot_log(ROWS[:3], tmp_path / "one.png")
    plot_log(ROWS, tmp_path / "two.png")
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        assert two.width == 2 * one.width and two.height == one.height and one.width > 300


def test_no_step_is_a_plot_too(tmp_path):
    plot_log([], tmp_path / "none.png")
    with Image.open(tmp_path / "none.png") as plot:
        assert plot.width > 300


def test_without_matplotlib_one_note_and_no_plot(tmp_path, monkeypatch, caplog):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with caplog.at_level(logging.WARNING):
        plot_log(ROWS, tmp_path / "loss.png")
    assert not (tmp_path / "loss.png").exists()
    (record,) = caplog.records
    assert "loss.png needs the package matplotlib" in record.getMessage() and "recommender[eval]" in record.getMessage()
