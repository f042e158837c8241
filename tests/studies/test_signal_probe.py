"""A linear probe: it finds what a modality knows of taste, nothing in noise, and what only one of two knows."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from recommender.cli import app
from recommender.encoders.features import Features
from recommender.errors import DataError
from recommender.studies.signal_probe import probe
from tests.conftest import write_tables

ITEMS = 400


def features(**tables: np.ndarray) -> Features:
    return Features(dict(tables), {m: np.any(table != 0, axis=1) for m, table in tables.items()})


@pytest.fixture
def world() -> dict[str, np.ndarray]:
    """Taste has two halves. Words tell the first, sound both a little, pictures nothing."""
    random = np.random.default_rng(0)
    taste = random.normal(size=(ITEMS, 8))
    noise = [random.normal(size=(ITEMS, 8)) for _ in range(3)]
    half = taste * ([1] * 4 + [0] * 4)
    tables = {"text": half + 0.1 * noise[0], "image": noise[1], "audio": taste + 2 * noise[2], "collaborative": taste}
    return {m: table.astype(np.float32) for m, table in tables.items()}


def test_what_is_there_is_found_and_noise_is_not(world):
    found = probe(features(**world))
    told = {one.modalities: one for one in found.results}
    assert found.items == ITEMS
    assert told["text",].low > 0.35 and told["text",].nearer > 0.9
    assert 0.05 < told["audio",].explained < told["text",].explained
    assert told["image",].low < 0.01 and abs(told["image",].nearer - 0.5) < 0.06
    whole = told["text", "image", "audio"]
    assert whole.low <= whole.explained <= whole.high and whole.explained > told["text",].explained


def test_what_only_one_knows(world):
    added = probe(features(**world)).added
    assert added["text"][1] > 0.1 and added["audio"][1] > 0
    assert added["image"][0] < 0.01 and added["image"][1] < 0 < added["image"][2] + 0.01


def test_the_share_is_the_mean_over_items_of_a_plain_regression(world):
    from sklearn.linear_model import RidgeCV
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold, cross_val_predict

    alone = {m: world[m] for m in ("text", "collaborative")}
    unit = {m: table / np.linalg.norm(table, axis=1, keepdims=True) for m, table in alone.items()}
    model, folds = RidgeCV(alphas=10.0 ** np.arange(-2, 5)), KFold(10, shuffle=True, random_state=3)
    expected = cross_val_predict(model, unit["text"], unit["collaborative"], cv=folds)
    found = probe(features(**alone), seed=3)
    assert [one.modalities for one in found.results] == [("text",)] and not found.added
    share = r2_score(unit["collaborative"], expected, multioutput="variance_weighted")
    assert found.results[0].explained == pytest.approx(share, abs=1e-4)


def test_items_that_lack_something_are_left_out(world):
    world["image"][:100] = 0
    assert probe(features(**world)).items == ITEMS - 100


def test_what_cannot_be_probed_is_said(world):
    with pytest.raises(DataError, match="collaborative"):
        probe(features(text=world["text"]))
    with pytest.raises(DataError, match="text, image or audio"):
        probe(features(collaborative=world["collaborative"]))
    with pytest.raises(DataError, match="9 items"):
        probe(features(**{m: table[:9] for m, table in world.items()}))


def test_the_command_line_probes_a_recipe(tmp_path, catalogue, histories, text_folder):
    config = {
        "data": write_tables(tmp_path, catalogue, histories),
        "encoders": {"text": str(text_folder), "image": None, "audio": None, "width": 6, "collaborative_width": 4},
    }
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(config), encoding="utf-8")
    arguments = ["study", "signal", "--config", str(recipe), "--set", f"encoders.cache={tmp_path / 'cache'}", "--quiet"]
    answer = CliRunner().invoke(app, [*arguments, "--json"])
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert told["items"] <= len(catalogue) and [one["modalities"] for one in told["results"]] == [["text"]]
    assert "text" in CliRunner().invoke(app, arguments).stdout
