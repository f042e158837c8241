"""The whole comparison: measures, table, files and the command."""

import csv
import inspect
import json
import sys

import numpy as np
import pytest
import yaml

from recommender.cli import main
from recommender.cli import ratings as command
from recommender.studies.ratings import RatingsSettings
from recommender.studies.ratings.experiment import cross_validate
from recommender.studies.ratings.rating_metrics import METRICS
from tests.studies.ratings.ratings_world import make_content, make_ratings, taste

QUICK = RatingsSettings(folds=2, width=4, epochs=4, hidden=8, joint=8, batch=512, samples=100, svm_alpha=0.1)


@pytest.fixture(scope="module")
def result():
    content = make_content()
    ids = [f"i{item}" for item in range(50)]
    return cross_validate(make_ratings(taste(content, "image")), content, ids, QUICK)


def test_every_family_stands_in_one_table(result):
    groups = result.table.groupby("group")["label"].unique()
    assert list(groups["floor"]) == ["global mean", "item mean", "user mean + item mean"]
    assert {"text alone, MLP", "without media, SVM"} <= set(groups["one modality"])
    assert len(groups["fusion"]) == 12 and len(groups["imputation"]) == 6
    assert set(result.table["metric"]) == set(METRICS) and not result.table.isna().any().any()
    assert result.weights.keys() == {"statistics", "collaborative", "text", "image", "mfcc"}


def test_floors_are_worth_what_they_should_be(result):
    values = result.table.set_index(["label", "metric"])["value"]
    assert values["global mean", "AUC"] == pytest.approx(0.5, abs=0.03)
    assert values["global mean", "balanced accuracy"] == pytest.approx(0.5, abs=0.03)
    assert values["global mean", "RMSE"] == pytest.approx(np.sqrt(2), abs=0.02)  # the five ratings are as frequent


def test_every_rating_is_predicted_once_by_every_method(result):
    counts = result.predictions.groupby("method", observed=True).size()
    assert set(counts) == {60 * 25} and len(counts) == result.table["label"].nunique()
    assert result.predictions["like"].between(0, 1).all() and set(result.predictions["fold"]) == {0, 1}


@pytest.mark.slow
def test_the_command_reads_tables_of_other_names(tmp_path, monkeypatch, capsys):
    with (tmp_path / "songs.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("SONG_ID", "title"), *((n, f"{'red' if n % 2 else 'blue'} song") for n in range(20))]
        )
    rows = [(f"u{u}", n, -1 if n == 0 else (u * 7 + n * 3) % 5 + 1) for u in range(30) for n in range(20)]
    with (tmp_path / "answers.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("USER_ID", "SONG_ID", "RATING"), *rows])
    columns = {"user_id": "USER_ID", "item_id": "SONG_ID", "rating": "RATING"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"data": {"columns": columns}, "encoders": {"text": None}}))

    def call(*more):
        places = ("--items", tmp_path / "songs.csv", "--interactions", tmp_path / "answers.csv")
        arguments = [
            "ratings",
            "--config",
            tmp_path / "config.yaml",
            *places,
            "--output",
            tmp_path / "out",
            "-q",
            *more,
        ]
        monkeypatch.setattr(sys, "argv", ["recommender", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        return exit_.value.code, capsys.readouterr()

    code, shown = call("--features", "tfidf,image", "--folds", "2", "--json")
    told = json.loads(shown.out)
    assert not code
    assert told["about"]["ratings"]["unrated"] == 30 and told["about"]["ratings"]["kept"] == 570
    assert list(told["about"]["present"]) == ["tfidf"]
    code, shown = call("--features", "smell")
    assert code == 2 and "features are text, tfidf" in shown.err


def test_the_command_defaults_to_what_the_settings_say():
    options = {name: option.default for name, option in inspect.signature(command).parameters.items()}
    known = RatingsSettings()
    assert options["features"] == ",".join(known.features)
    for name in ("likes", "sample", "folds", "imputation"):
        assert options[name] == getattr(known, name), name
