"""The study of forgetting: a whole one on tiny tables, by its command, stopped and gone on with."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from recommender.cli.command_line import app
from recommender.config import Config
from recommender.errors import DataError
from recommender.studies import forgetting as study
from tests.conftest import tiny_recipe, write_csv, write_tables

RANK = {"stage": "rank", "epochs": 1, "row_tokens": 64, "batch_tokens": 128, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, catalogue, histories, llm_folder, text_folder):
    folder = tmp_path_factory.mktemp("recipe")
    cache = tmp_path_factory.getbasetemp() / "encodings"
    training = {"stages": [RANK], "forgetting": {"shards": 2}}
    raw = tiny_recipe(write_tables(folder, catalogue, histories), llm_folder, text_folder, cache, training)
    rows = [(f"u{u}", catalogue[int(i)].item_id, 100 * u + t) for u, h in enumerate(histories) for t, i in enumerate(h)]
    write_csv(folder / "interactions.csv", "user_id item_id timestamp", rows)
    path = folder / "recipe.yaml"
    path.write_text(Config.parse(raw).to_yaml())
    return path


@pytest.fixture(scope="module")
def studied(recipe, tmp_path_factory):
    """What the command said, and its folder."""
    output = tmp_path_factory.mktemp("study") / "out"
    told = CliRunner().invoke(
        app, ["study", "forgetting", "--config", str(recipe), "--forget", "2", "--others", "4", "--output", str(output)]
    )
    assert told.exit_code == 0, told.output
    return told.output, output


def test_nothing_is_left_and_models_are_those_of_a_training_without_them(studied):
    said, output = studied
    figures = json.loads((output / study.FIGURES).read_text())
    assert figures["traces"]["found"] == [] and figures["traces"]["files"] > 20
    assert [figures["models"][way]["same"] for way in study.WAYS] == [True] * 3
    assert "0 of" in said and "have a trace" in said
    assert figures["about"]["users"] == 8 and figures["models"]["whole"]["all"]["users"] == 6
    assert "Forgetting people" in (output / study.PAGE).read_text()


def test_the_search_finds_a_name_and_a_pseudonym(studied, recipe):
    _, output = studied
    config = Config.load(recipe)
    searching = study._Study(config, study.ForgettingOptions(2, 4), output, study.Steps(output / "steps.json"), None)
    store = searching.open_store()
    name = searching.name(int(searching.gone[0]))
    (output / "left.bin").write_bytes(b"\0" + name.encode() + b"\0")
    (output / "too.bin").write_text(store.people.pseudonym(name))
    store.let_go()
    assert searching.traces()["found"] == ["left.bin", "too.bin"]
    for file in ("left.bin", "too.bin"):
        (output / file).unlink()


def test_a_study_goes_on_and_another_one_is_not_mixed_with_it(studied, recipe):
    _, output = studied
    config, before = Config.load(recipe), json.loads((output / study.FIGURES).read_text())
    assert study.study_forgetting(config, study.ForgettingOptions(2, 4), output)["models"] == before["models"]
    with pytest.raises(DataError, match="holds a study with other settings"):
        study.study_forgetting(config, study.ForgettingOptions(3, 4), output)


def test_too_few_people_and_unknown_ways_are_one_line(recipe, tmp_path):
    with pytest.raises(DataError, match="12 users are too few to forget 9 and leave out 4"):
        study.study_forgetting(Config.load(recipe), study.ForgettingOptions(9, 4), tmp_path / "out")
    command = ["study", "forgetting", "--config", str(recipe), "--ways", "half", "--output", str(tmp_path / "out")]
    told = CliRunner().invoke(app, command)
    assert told.exit_code != 0 and "half" in str(told.output) + str(told.exception)
