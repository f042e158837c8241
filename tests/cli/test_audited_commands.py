"""What commands do with a model, as rows of a store's audit log: trainings, exports, batches."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from recommender.errors import DataError
from tests.cli.conftest import refused


@pytest.fixture
def kept(run, tmp_path, monkeypatch):
    """A store that RECOMMENDER_STORE names; returns its rows, oldest first."""
    monkeypatch.chdir(tmp_path)
    assert run("keys", "master", "m.keys", "--name", "first")[0] == 0
    assert run("keys", "add", "shop", "--scope", "recommend", "--store", "s.db", "--master-key", "m.keys")[0] == 0
    monkeypatch.setenv("RECOMMENDER_STORE", "s.db")
    monkeypatch.setenv("RECOMMENDER_MASTER_KEY", (tmp_path / "m.keys").read_text())

    def rows():
        assert run("audit", "verify")[0] == 0
        return [(row["kind"], row["body"]) for row in reversed(json.loads(run("audit", "list", "--json")[1]))][1:]

    return rows


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def training(monkeypatch, trained):
    """Let a training copy what was trained before, or fail, as `training.append(error)` says."""
    errors = []

    def copied(config, output, *_, **__):
        for error in errors:
            raise error
        shutil.copytree(trained, output)
        return SimpleNamespace(stages=[])

    monkeypatch.setattr("recommender.pipelines.train.train", copied)
    return errors


def test_drawn_histories_are_written_down_with_what_was_promised(run, kept, recipe, tables, tmp_path):
    asked = ("private-histories", "--config", recipe, "--output", "drawn", "--epsilon", "3", "--length", "4", "-q")
    assert run(*asked)[0] == 0
    (kind, begun), (_, ended) = kept()
    assert kind == "draw" and begun["interactions"] == digest(tables / "interactions.csv")
    assert ended["done"] == "finished" and ended["sha256"] == digest(tmp_path / "drawn/interactions.csv")
    assert 2.9 < ended["epsilon"] <= 3 and "u1" not in json.dumps([begun, ended])


def test_a_training_is_written_down_when_it_begins_and_ends(run, kept, recipe, tables, training, tmp_path):
    assert run("train", "--config", recipe, "--output", "model", "-q")[0] == 0
    (kind, begun), (_, ended) = kept()
    assert kind == "train" and begun["done"] == "begun" and ended["done"] == "finished"
    assert begun["interactions"] == digest(tables / "interactions.csv") and begun["checkpoint"] == "model"
    assert ended["manifest"] == digest(tmp_path / "model" / "checkpoint.json")
    assert "u1" not in json.dumps([begun, ended])


def test_a_training_that_fails_is_written_down_too(run, kept, recipe, training):
    training.append(DataError("a wrong row"))
    refused(run("train", "--config", recipe, "--output", "model", "-q"), "a wrong row")
    (_, begun), (_, failed) = kept()
    assert (begun["done"], failed["done"], failed["because"]) == ("begun", "failed", "DataError")


def test_a_recipe_names_a_store_that_is_there(run, kept, recipe, training, tmp_path, monkeypatch):
    settings = yaml.safe_load(recipe.read_text())
    for named, count in (("elsewhere.db", 0), ("s.db", 2)):
        settings["serving"] = {"store": named}
        (tmp_path / "own.yaml").write_text(yaml.safe_dump(settings))
        monkeypatch.delenv("RECOMMENDER_STORE")
        assert run("train", "--config", "own.yaml", "--output", named.partition(".")[0], "-q")[0] == 0
        monkeypatch.setenv("RECOMMENDER_STORE", "s.db")
        assert len(kept()) == count


def test_exports_and_batches_are_written_down(run, kept, trained, tmp_path):
    assert run("export", trained, "plain", "-q")[0] == 0
    (tmp_path / "in.jsonl").write_text('{"custom_id": "a", "history": ["103"], "k": 2}\n')
    assert run("batch", trained, "--input", "in.jsonl", "--output", "out.jsonl", "-q")[0] == 0
    rows = kept()
    assert [(kind, body["done"]) for kind, body in rows] == [
        (kind, done) for kind in ("export", "batch") for done in ("begun", "finished")
    ]
    assert rows[0][1]["to"] == "transformers" and rows[0][1]["what"] == "model"
    assert rows[2][1]["input"] == digest(tmp_path / "in.jsonl")
    assert {body["manifest"] for _, body in rows} == {digest(trained / "checkpoint.json")}


def test_a_store_that_cannot_be_written_stops_the_work_before_it_begins(run, kept, trained, tmp_path, monkeypatch):
    monkeypatch.delenv("RECOMMENDER_MASTER_KEY")
    refused(run("export", trained, "plain", "-q"), "needs a master key")
    assert not (tmp_path / "plain").exists()


def test_a_checkpoint_that_is_made_smaller_is_written_down(run, kept, trained, monkeypatch):
    monkeypatch.setattr("recommender.pipelines.shrink.shrink", lambda *args: shutil.copytree(trained, args[2]) and [])
    assert run("shrink", trained, "--layers", 1, "--output", "small", "-q")[0] == 0
    (kind, begun), (_, ended) = kept()
    assert kind == "train" and (begun["made from"], begun["layers"], begun["done"]) == (str(trained), 1, "begun")
    assert ended["done"] == "finished" and ended["manifest"] == digest(Path("small/checkpoint.json"))
