"""Drawn histories: what is promised, what a training on them may do, and what its card says."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recommender.cli.command_line import app
from recommender.config import Config
from recommender.errors import ConfigError, DataError
from recommender.model.checkpoint import from_pretrained
from recommender.pipelines import train
from recommender.pipelines.private import promise_of
from recommender.pipelines.private_histories import PrivateOptions, write_private_histories
from tests.conftest import tiny_recipe, write_tables

RANK = {"stage": "rank", "epochs": 1, "row_tokens": 64, "titled_share": 0}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, catalogue, histories, llm_folder, text_folder) -> Config:
    cache = tmp_path_factory.getbasetemp() / "encodings"
    training = {"stages": [RANK], "teacher": {"baseline": "transition-tfidf"}}
    tables = write_tables(tmp_path_factory.mktemp("tables"), catalogue, histories)
    return Config.parse(tiny_recipe(tables, llm_folder, text_folder, cache, training))


@pytest.fixture(scope="module")
def drawn(recipe, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("drawn")
    write_private_histories(recipe, PrivateOptions(epsilon=4, length=5, histories=20), output)
    return output


def test_the_promise_is_kept_and_told(drawn, histories):
    promise = promise_of(str(drawn / "interactions.csv"))
    assert promise is not None
    assert 3.9 < promise["epsilon"] <= 4 and promise["users"] == len(histories) and not promise["repeatable"]
    assert promise["delta"] == pytest.approx(1 / (10 * len(histories)))


def test_what_is_drawn_are_histories_of_the_catalogue(drawn, catalogue):
    with (drawn / "interactions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 100 and len({row["user_id"] for row in rows}) == 20
    assert {row["item_id"] for row in rows} <= set(catalogue.item_ids)


def test_a_training_on_them_may_have_a_teacher_and_its_card_says_what_is_promised(drawn, tmp_path):
    train.train(drawn / "recipe.yaml", tmp_path / "model")
    assert from_pretrained(str(tmp_path / "model")).companions is not None
    told = json.loads((tmp_path / "model/metrics.json").read_text())["privacy"]
    assert told["histories"] == 20 and told["epsilon"] <= 4
    card = (tmp_path / "model/README.md").read_text()
    assert "## Privacy" in card and "20 drawn histories of 5" in card


def test_a_table_that_was_changed_promises_nothing(drawn, tmp_path):
    for name in ("interactions.csv", "privacy.json"):
        (tmp_path / name).write_bytes((drawn / name).read_bytes())
    assert promise_of(str(tmp_path / "interactions.csv")) is not None
    with (tmp_path / "interactions.csv").open("a") as file:
        file.write("alice,i1,0\n")
    assert promise_of(str(tmp_path / "interactions.csv")) is None
    assert promise_of(str(tmp_path / "elsewhere.csv")) is None and promise_of("movielens-100k") is None


def test_two_runs_draw_different_noise_unless_a_seed_is_given(recipe, tmp_path):
    def table(name: str, seed: int | None) -> bytes:
        write_private_histories(recipe, PrivateOptions(4, length=5, seed=seed), tmp_path / name)
        return (tmp_path / name / "interactions.csv").read_bytes()

    assert table("a", None) != table("b", None) and table("c", 1) == table("d", 1)


def test_wrong_questions_get_one_clear_line(recipe, tmp_path):
    with pytest.raises(DataError, match="no user has two interactions before the last 99"):
        write_private_histories(recipe, PrivateOptions(4, held_out=99), tmp_path)
    with pytest.raises(ConfigError, match="--delta is 0.9: with 12 users, below 0.083 is expected"):
        write_private_histories(recipe, PrivateOptions(4, delta=0.9), tmp_path)
    for epsilon in (float("nan"), float("inf"), 0.0):
        with pytest.raises(ConfigError, match="--epsilon is .*: a number above 0 is expected"):
            write_private_histories(recipe, PrivateOptions(epsilon), tmp_path)
    assert not list(tmp_path.iterdir())


def test_of_histories_shorter_than_what_is_held_out_nothing_is_read(recipe, tmp_path):
    """Nine items each: with eight held out one is left, with twelve none, and no slice from the end."""
    for held_out in (8, 9, 12):
        with pytest.raises(DataError, match=f"no user has two interactions before the last {held_out}"):
            write_private_histories(recipe, PrivateOptions(4, held_out=held_out), tmp_path)


def test_the_command_says_what_comes_next(recipe, tmp_path):
    (tmp_path / "r.yaml").write_text(recipe.to_yaml())
    asked = ["private-histories", "--config", str(tmp_path / "r.yaml"), "--output", str(tmp_path / "out"), "-q"]
    said = CliRunner().invoke(app, [*asked, "--epsilon", "2", "--length", "4"])
    assert said.exit_code == 0 and "recommender train --config" in said.stdout
    assert "out/privacy.json" in said.stdout and (tmp_path / "out/recipe.yaml").is_file()
    refused = CliRunner().invoke(app, [*asked, "--epsilon", "0"])
    assert refused.exit_code != 0
