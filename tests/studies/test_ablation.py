"""Ablations: what is varied, what is kept of an earlier run, and the table that comes out."""

from __future__ import annotations

import json

import pytest
import yaml
from typer.testing import CliRunner

from recommender.cli import app
from recommender.config import Config
from recommender.errors import CheckpointError, ConfigError, DataError
from recommender.studies.ablation import FULL, ablation_study, variants
from tests.conftest import write_tables


@pytest.fixture(scope="module")
def config(tmp_path_factory, catalogue, histories, llm_folder, text_folder):
    folder = tmp_path_factory.mktemp("ablation")
    stage = {"stage": "rank", "epochs": 1, "batch_tokens": 128, "row_tokens": 64}
    raw = {
        "data": write_tables(folder, catalogue, histories),
        "base": {"llm": str(llm_folder), "dtype": "float32", "rank_layers": 1},
        "encoders": {"text": str(text_folder), "image": None, "audio": None, "width": 6, "collaborative_width": 4},
        "lora": {"r": 2, "alpha": 4},
        "prompt": {"history": 6, "titled": 0},
        "training": {"stages": [stage]},
    }
    return Config.parse(raw).updated({"encoders.cache": str(folder / "encodings")})


def test_variants_leave_out_one_thing_each(config):
    found = variants(config, ["text", "collaborative"], {"short": {"prompt.history": 3}})
    assert list(found) == [FULL, "without-text", "without-collaborative", "short"]
    assert found[FULL] == config
    assert found["without-text"].encoders.text is None
    assert found["without-collaborative"].encoders.collaborative_width == 0
    assert found["short"] == config.updated({"prompt.history": 3})


@pytest.mark.parametrize(
    ("without", "changed", "error", "told"),
    [
        (["texts"], {}, DataError, "text"),
        (["image"], {}, DataError, "no image"),
        ([], {"a,b": {"seed": 1}}, DataError, "cannot name"),
        ([], {"full": {"seed": 1}}, DataError, "cannot name"),
        ([], {"popularity": {"seed": 1}}, DataError, "cannot name"),
        ([], {"a+b": {"seed": 1}}, DataError, "cannot name"),
        ([], {"x": {"prompt.histories": 1}}, ConfigError, "histories"),
    ],
)
def test_wrong_variants_are_refused(config, without, changed, error, told):
    with pytest.raises(error) as caught:
        variants(config, without, changed)
    assert told in f"{caught.value.message} {caught.value.hint}"


def test_each_recipe_is_trained_once_a_seed_and_compared(config, tmp_path):
    recipes = variants(config, ["text"])
    first = ablation_study(recipes, [0, 1], tmp_path)
    assert set(first.summary["model"]) == {"full", "without-text"}
    assert not first.pairs.empty
    made = {path.parent.name: path.stat().st_mtime_ns for path in tmp_path.glob("*/checkpoint.json")}
    assert set(made) == {f"{name}-seed{seed}" for name in recipes for seed in (0, 1)}
    ablation_study(recipes, [0, 1], tmp_path)
    again = {path.parent.name: path.stat().st_mtime_ns for path in tmp_path.glob("*/checkpoint.json")}
    assert again == made
    with pytest.raises(CheckpointError, match="another configuration"):
        ablation_study({FULL: config.updated({"lora.r": 1})}, [0], tmp_path)


def test_a_variant_of_other_items_is_refused_before_anything_is_trained(config, catalogue, tmp_path):
    facts = tmp_path / "facts.jsonl"
    facts.write_text("".join(json.dumps({"item_id": item.item_id, "colour": "red"}) + "\n" for item in catalogue))
    recipes = variants(config, (), {"coloured": {"data.facts": {"table": str(facts), "by": "item_id"}}})
    with pytest.raises(DataError, match="variant coloured: its items, or their attributes"):
        ablation_study(recipes, [0], tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_the_command_writes_a_report_beside_the_runs(config, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    asked = ["study", "ablation", "--config", str(file), "--output", str(tmp_path / "study"), "--seeds", "0"]
    asked += ["--variant", "short: prompt.history=3 lora.r=1", "--baselines", "popularity", "--json", "-q"]
    result = CliRunner().invoke(app, asked, catch_exceptions=False)
    told = json.loads(result.stdout.splitlines()[-1])
    assert set(told["models"]) == {"full", "short", "popularity"}
    assert (tmp_path / "study" / "report.html").is_file()
    assert Config.load(tmp_path / "study" / "short-seed0" / "config.yaml").prompt.history == 3


@pytest.mark.parametrize("text", ["short", "short: ", "short: prompt.history", ": seed=1"])
def test_a_change_that_cannot_be_read_is_refused(config, tmp_path, text):
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    asked = ["study", "ablation", "--config", str(file), "--output", str(tmp_path / "s"), "--variant", text]
    result = CliRunner().invoke(app, asked)
    assert isinstance(result.exception, DataError)
    assert "NAME: KEY=VALUE" in result.exception.message


def test_targets_are_cold_by_what_the_recipes_learned_from(config, tmp_path):
    few = config.updated({"data.users": 2})
    found = ablation_study({FULL: few}, [0], tmp_path / "few")
    counts = found.slices.drop_duplicates("slice").set_index("slice")["targets"]
    # two of twelve users walk by steps of one from 0 and of two from 11: nobody else's films were learned
    known = {(walk * step + user) % 20 for user, step in ((0, 1), (11, 2)) for walk in range(7)}
    targets = [(8 * (1 + user % 2) + user) % 20 for user in range(12)]
    assert counts["target never seen in training"] == sum(target not in known for target in targets) > 0
    with_all = ablation_study({FULL: config}, [0], tmp_path / "all")
    whole = with_all.slices.drop_duplicates("slice").set_index("slice")["targets"]
    assert whole["target never seen in training"] < counts["target never seen in training"]
