"""The study of sizes: figures by hand, what is the same, speed and memory of what is smaller, and the plot."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from recommender.config import Config
from recommender.engine import Recommender
from recommender.errors import CheckpointError, DataError
from recommender.model.checkpoint import save_pretrained
from recommender.pipelines.shrink import Shrinking, shrink
from recommender.pipelines.train import split_histories
from recommender.studies.sizes import Sizes, sizes_study
from recommender.studies.sizes_report import METRICS, PAGE, PLOT, headline, write_sizes


@pytest.fixture(scope="module")
def measured(talk_folder, taught, tmp_path_factory):
    small = tmp_path_factory.mktemp("sizes") / "small"
    data = {"items": str(talk_folder / "items.jsonl"), "interactions": str(talk_folder / "interactions.csv")}
    stage = {"stage": "rank", "max_steps": 1, "batch_tokens": 128, "row_tokens": 64}
    shrink(str(taught), Shrinking(1), small, Config.parse({"data": data, "training": {"stages": [stage]}}))
    return sizes_study([str(taught), str(small)], Sizes(bits=(16, 4), rounds=1))


def test_figures_are_those_of_the_engine_itself(measured, taught):
    engine = Recommender.from_pretrained(taught)
    split, gains = split_histories(engine.config, engine.catalogue), []
    for ranking, target in zip(engine.rank(split.history_for("test"), 10, fused=False), split.test, strict=True):
        place = np.flatnonzero(np.asarray(ranking.items) == target)
        gains.append(1 / np.log2(place[0] + 2) if len(place) else 0.0)
    first = measured["sizes"][0]
    assert first["NDCG@10"] == pytest.approx(np.mean(gains)) and first["same top 10"] == 1
    assert first["difference"] == 0 and first["interval of that"] == [0, 0]
    assert first["interval"][0] <= first["NDCG@10"] <= first["interval"][1]


def test_there_is_a_row_for_each_checkpoint_and_number_of_bits(measured):
    rows = measured["sizes"]
    assert [(row["layers"], row["bits"]) for row in rows] == [(2, 16), (2, 4), (1, 16), (1, 4)]
    assert rows[2]["layers MB"] == pytest.approx(rows[0]["layers MB"] / 2)
    assert rows[1]["layers MB"] < 0.2 * rows[0]["layers MB"]  # of float32
    assert all(row["lists a second"] > 0 and row["folder MB"] > 0 for row in rows)
    for row in rows:
        assert row["difference"] == pytest.approx(row["NDCG@10"] - rows[0]["NDCG@10"])


def test_a_report_with_a_plot_is_written(measured, tmp_path):
    write_sizes(tmp_path, measured)
    assert json.loads((tmp_path / METRICS).read_text()) == measured
    page = (tmp_path / PAGE).read_text()
    assert all(row["model"] in page for row in headline(measured))
    with Image.open(tmp_path / PLOT) as plot:
        assert plot.format == "PNG" and plot.width > 600


@pytest.mark.parametrize("bits", [(16, 5), (), (8, 8)])
def test_numbers_of_bits_that_there_are_not(taught, bits):
    with pytest.raises(DataError, match="bits are"):
        sizes_study([str(taught)], Sizes(bits=bits))


def test_checkpoints_of_other_items_are_refused(taught, make_checkpoint, tmp_path):
    other = make_checkpoint(1)
    other.catalogue = type(other.catalogue)(list(other.catalogue)[:19])
    save_pretrained(other, tmp_path / "other")
    with pytest.raises((CheckpointError, DataError)):
        sizes_study([str(taught), str(tmp_path / "other")], Sizes(bits=(16,)))
