"""Evaluate: models and baselines in one table, and evaluations that are none."""

import json
import shutil

import pytest

from tests.cli.conftest import refused, write_csv


def test_evaluate_compares_models_in_one_table(run, trained, tables, tmp_path):
    code, out, _ = run(
        *("evaluate", trained, "popularity", "--items", tables / "items.csv"),
        *("--interactions", tables / "interactions.csv", "--output", tmp_path / "report", "--json", "-q"),
    )
    assert code == 0
    names = set(json.loads(out)["models"])
    assert names == {str(trained), "popularity"}
    assert {"metrics.json", "per_user.parquet", "report.html"} <= {p.name for p in (tmp_path / "report").iterdir()}


def test_evaluate_takes_other_splits_and_seeds(run, tables, tmp_path):
    code, out, _ = run(
        *("evaluate", "popularity", "ease", "--items", tables / "items.csv", "--split", "folds", "--folds", 3),
        *("--interactions", tables / "interactions.csv", "--output", tmp_path / "report", "--json", "-q"),
        *("--seeds", "0,1", "--attribute", "year"),
    )
    told = json.loads(out)
    assert code == 0 and told["about"]["split"] == "3 folds over users" and told["about"]["attribute"] == "year"
    assert set(told["models"]["ease"]["runs"]) == {"seed 0", "seed 1"}


def test_evaluate_writes_its_table_into_the_card(run, trained, tables, tmp_path):
    shutil.copytree(trained, tmp_path / "mine")
    code, _, _ = run(
        *("evaluate", tmp_path / "mine", "popularity", "--items", tables / "items.csv", "-q", "--record"),
        *("--interactions", tables / "interactions.csv", "--output", tmp_path / "report"),
    )
    card = (tmp_path / "mine" / "README.md").read_text()
    assert code == 0 and "## Ranking" in card and "| popularity |" in card and "12 users" in card
    code, _, _ = run("recommend", tmp_path / "mine", "--k", 2, "--no-explain", "-q")  # its manifest still holds
    assert code == 0


def test_evaluate_ranks_a_part_of_the_catalogue(run, trained, tables, tmp_path):
    shutil.copytree(trained, tmp_path / "mine")
    code, out, _ = run(
        *("evaluate", tmp_path / "mine", "popularity", "--items", tables / "items.csv", "--only", "genres=comedy"),
        *("--interactions", tables / "interactions.csv", "--output", tmp_path / "report", "--json", "-q", "--record"),
    )
    told = json.loads(out)
    assert code == 0 and told["about"]["split"] == "leave-one-out, only genres=comedy"
    assert told["about"]["only"] == "genres=comedy" and told["about"]["users"] == 6
    assert "10 of 20 items ranked" in (tmp_path / "mine" / "README.md").read_text()
    assert "10 of them ranked, those of genres=comedy" in (tmp_path / "report" / "report.html").read_text()


def test_a_part_that_no_item_is_of_is_one_line(run, tables, tmp_path):
    asked = (
        "evaluate",
        "popularity",
        "--items",
        tables / "items.csv",
        "--interactions",
        tables / "interactions.csv",
        "-q",
    )
    for only, line in (
        ("genres=musics", "error: --only.genres: no item has 'musics'\nhint: one of comedy, drama"),
        ("domain=musics", "error: --only: no item has the attribute 'domain'"),
    ):
        code, out, err = run(*asked, "--only", only, "--output", tmp_path / "report")
        assert (code, out) == (2, "") and err.startswith(line) and err.count("error:") == 1 and "Traceback" not in err


def test_a_checkpoint_of_another_catalogue(run, trained, tables, tmp_path):
    write_csv(tmp_path / "items.csv", ("item_id", "title"), [("101", "another"), ("102", "one")])
    result = run(
        *("evaluate", trained, "--items", tmp_path / "items.csv", "--interactions", tables / "interactions.csv"),
        *("--output", tmp_path / "report", "-q"),
    )
    code, _, err = result
    assert code == 2 and "error: " in err and not (tmp_path / "report").exists()


def test_an_unknown_baseline(run, tables, tmp_path):
    result = run("evaluate", "popularty", "--interactions", tables / "interactions.csv", "--output", tmp_path / "r")
    refused(
        run(
            *("evaluate", "popularty", "--items", tables / "items.csv"),
            *("--interactions", tables / "interactions.csv", "--output", tmp_path / "r", "-q"),
        ),
        "'popularty'",
        "popularity",
    )
    assert result[0] == 2 and not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("popularity", "popularity"), "popularity is given twice"),
        (("popularity", "--seeds", "0,x"), "seeds are '0,x'"),
        (("popularity", "--split", "time", "--test", "movielens-100k"), "targets are given"),
        (("popularity", "--split", "tiem"), "did you mean time"),
        (("popularity", "--split", "folds", "--folds", "1"), "folds is 1"),
        (("popularity", "--attribute", "genre"), "did you mean genres"),
    ],
)
def test_an_evaluation_that_is_none(run, tables, tmp_path, options, said):
    paths = ("--items", tables / "items.csv", "--interactions", tables / "interactions.csv")
    refused(run("evaluate", *options, *paths, "--output", tmp_path / "r", "-q"), said)
    assert not (tmp_path / "r").exists()


def test_a_misspelt_checkpoint_is_answered_with_a_shipped_one(run, tables, tmp_path):
    result = run("evaluate", "movilens-100k", "--items", tables / "items.csv", "--output", tmp_path / "r", "-q")
    refused(result, "neither a checkpoint folder nor a baseline", "did you mean movielens-100k")
