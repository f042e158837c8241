"""The study end to end in the tiny world: who is attacked, figures and page, what is said on the card."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.errors import DataError
from recommender.model.checkpoint import from_pretrained
from recommender.pipelines import train
from recommender.pipelines.private_histories import PrivateOptions, write_private_histories
from recommender.studies.entries import parse_entries
from recommender.studies.privacy import PrivacyOptions, add_cost, check_entries, people, study_privacy, write_privacy
from tests.conftest import tiny_recipe, write_tables


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, catalogue, histories, llm_folder, text_folder) -> Config:
    cache = tmp_path_factory.getbasetemp() / "encodings"
    training = {
        "stages": [{"stage": "rank", "max_steps": 2, "row_tokens": 64}],
        "privacy": {"epsilon": 4},
    }
    raw = tiny_recipe(
        write_tables(tmp_path_factory.mktemp("tables"), catalogue, histories) | {"users": 7},
        llm_folder,
        text_folder,
        cache,
        training,
        titled=0,
    )
    return Config.parse(raw)


@pytest.fixture(scope="module")
def models(recipe, tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    train.train(recipe, folder / "private")
    train.train(recipe.updated({"training.privacy": None}), folder / "plain")
    return [f"private={folder / 'private'}", f"plain={folder / 'plain'}"]


def test_people_who_were_left_out_are_paired_with_members(recipe, catalogue):
    loaded = Catalogue.load(recipe.data.items, recipe.data)
    histories, member = people(recipe, loaded, PrivacyOptions())
    assert len(histories) == 10 and member.sum() == 5  # five of twelve were left out
    assert all(len(history) == 7 for history in histories)  # validation and test items are nobody's to learn
    few, _ = people(recipe, loaded, PrivacyOptions(pairs=2))
    assert len(few) == 4
    with pytest.raises(DataError, match="and 0 were left out"):
        people(recipe.updated({"data.users": None}), loaded, PrivacyOptions())
    given, _ = people(recipe.updated({"data.users": None}), loaded, PrivacyOptions(others=recipe.data.interactions))
    assert len(given) == 24


def test_attacks_go_into_figures_page_and_card(models, tmp_path):
    entries = parse_entries(models)
    study = study_privacy(entries, PrivacyOptions(), tmp_path / "work")
    add_cost(study, entries)
    write_privacy(tmp_path, study)
    figures = json.loads((tmp_path / "privacy.json").read_text())
    assert set(figures["models"]) == {"private", "plain"}
    assert figures["models"]["private"]["privacy"]["unit"] == "user" and not figures["models"]["plain"]["privacy"]
    for model in figures["models"].values():
        for found in model["attacks"].values():
            low, high = found["auc_interval"]
            assert 0 <= low <= found["auc"] <= high <= 1
    assert figures["about"]["members"] == figures["about"]["others"] == 5
    page = (tmp_path / "report.html").read_text()
    assert "data:image/png;base64" in page and "plain" in page
    folder = entries[0].folders[0]
    cost = from_pretrained(folder).metrics["privacy"]["cost"]
    assert [row["model"] for row in cost] == ["private", "plain"]
    with open(f"{folder}/README.md") as file:
        card = file.read()
    assert "What it cost" in card and cost[0]["recall"] in card and cost[1]["loss_attack"] in card


def test_only_checkpoints_that_learned_from_the_same_people_are_compared(recipe, models, tmp_path):
    with pytest.raises(DataError, match="is not one checkpoint"):
        check_entries(parse_entries(["popularity"]))
    train.train(recipe.updated({"training.privacy": None, "data.users": 6}), tmp_path / "other")
    with pytest.raises(DataError, match="private and other learned from different people"):
        study_privacy(parse_entries([models[0], f"other={tmp_path / 'other'}"]), PrivacyOptions(), tmp_path)


def test_a_model_is_its_own_reference_and_tells_nothing_then(models, tmp_path):
    folder = parse_entries(models)[1].folders[0]
    study = study_privacy(parse_entries([models[1]]), PrivacyOptions(reference=folder), tmp_path)
    assert study.figures["models"]["plain"]["attacks"]["loss"]["auc"] == 0.5
    assert np.isfinite(study.lines["plain, by lists"][1]).all()


def test_drawn_histories_stand_for_the_same_people(recipe, models, tmp_path):
    plain = recipe.updated({"training.privacy": None})
    write_private_histories(plain, PrivateOptions(epsilon=4, length=6), tmp_path / "drawn")
    train.train(tmp_path / "drawn/recipe.yaml", tmp_path / "model")
    drawn = f"drawn={tmp_path / 'model'}"
    entries = parse_entries([drawn, *models])
    found = study_privacy(entries, PrivacyOptions(), tmp_path)
    add_cost(found, entries)
    assert [row["model"] for row in found.figures["cost"]] == ["drawn", "private", "plain"]
    assert set(found.figures["models"]) == {"private", "plain", "drawn"}
    assert found.figures["models"]["drawn"]["privacy"]["histories"] == 7
    with pytest.raises(DataError, match="all models learned from drawn histories"):
        study_privacy(parse_entries([drawn]), PrivacyOptions(), tmp_path)
