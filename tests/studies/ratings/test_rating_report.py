"""The report of a comparison of rating predictors: files that say the same, marks, the best values."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from recommender.errors import DataError
from recommender.studies.ratings import RatingResult, RatingsSettings
from recommender.studies.ratings.experiment import cross_validate
from recommender.studies.ratings.rating_report import FILES, as_json, html, mark, table, write_report
from tests.studies.ratings.ratings_world import make_content, make_ratings, taste

QUICK = RatingsSettings(folds=2, width=4, epochs=4, hidden=8, joint=8, batch=512, samples=100, svm_alpha=0.1, missing=0)


@pytest.fixture(scope="module")
def result() -> RatingResult:
    content = make_content()
    return cross_validate(make_ratings(taste(content, "image")), content, [f"i{item}" for item in range(50)], QUICK)


def test_files_stand_alone_and_say_the_same(result, tmp_path):
    write_report(result, tmp_path / "deep" / "report")
    write_report(result, tmp_path / "deep" / "report")
    folder = tmp_path / "deep" / "report"
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    told = json.loads((folder / "metrics.json").read_text())
    values = result.table.set_index(["label", "metric"])["value"]
    assert told["methods"]["graph network, SVM"]["metrics"]["AUC"]["value"] == values["graph network, SVM", "AUC"]
    rows = pd.read_parquet(folder / "predictions.parquet").query("method == 'average, MLP'")
    assert np.sqrt(np.mean((rows["predicted"] - rows["rating"]) ** 2)) == pytest.approx(values["average, MLP", "RMSE"])
    page = (folder / "report.html").read_text()
    assert page.count("<img") == 4 and all(src.startswith("data:") for src in re.findall(r'src="([^"]*)"', page))


@pytest.mark.parametrize(
    ("metric", "low", "high", "expected"),
    [("AUC", 0.1, 0.2, "*"), ("AUC", -0.2, -0.1, "!"), ("AUC", -0.1, 0.1, ""), ("RMSE", -0.2, -0.1, "*")]
    + [("RMSE", 0.1, 0.2, "!"), ("RMSE", -0.1, 0.2, "")],
)
def test_marks_tell_better_from_worse(metric, low, high, expected):
    row = {"metric": metric, "difference": (low + high) / 2, "difference_low": low, "difference_high": high}
    assert mark(row) == expected


def test_the_terminal_shows_every_method_with_its_intervals(result):
    console = Console(width=110, file=io.StringIO())
    console.print(table(result))
    text = console.file.getvalue()
    assert "…" not in text and "2 stratified folds" in text
    values = result.table.set_index(["label", "metric"])
    for label in ("global mean", "graph network, MLP", "cascade, SVM"):
        row = values.loc[label, "AUC"]
        assert label in text and f"{row['low']:.3f}-{row['high']:.3f}" in text


def test_the_page_marks_the_best_of_a_column_once(result):
    page = html(result)
    for metric, best in (("AUC", "max"), ("RMSE", "min")):
        values = result.table[result.table["metric"] == metric]["value"]
        assert f'class="best"><b>{getattr(values, best)():.4f}</b>' in page
    assert "user mean + item mean<span" in page and "learned weights" in page.casefold()


def test_a_result_without_learned_weights_has_one_picture_less(result):
    assert html(replace(result, weights={})).count("<img") == html(result).count("<img") - 1


def test_json_is_plain_and_knows_the_settings(result):
    content = json.loads(json.dumps(as_json(result), allow_nan=False))
    assert content["about"]["settings"]["folds"] == 2 and content["about"]["reference"] == "user mean + item mean"
    assert set(content["methods"]) == set(result.table["label"])
    floor = content["methods"]["user mean + item mean"]["metrics"]["MAE"]
    assert floor["difference"] == floor["difference_low"] == floor["difference_high"] == 0


def test_a_place_that_cannot_be_written_is_one_clear_line(result, tmp_path):
    (tmp_path / "report").write_text("a file")
    with pytest.raises(DataError, match="report: the report cannot be written"):
        write_report(result, tmp_path / "report")
