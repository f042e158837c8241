"""Fewer layers rank: what stays and what goes, that the rest learns what the whole expected, and what cannot shrink."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from recommender.config import Config
from recommender.engine import Recommender
from recommender.errors import ConfigError, DataError, RecommenderError
from recommender.model.checkpoint import from_pretrained, save_pretrained
from recommender.pipelines import former_self
from recommender.pipelines.shrink import Shrinking, shrink
from recommender.pipelines.train import told_histories
from recommender.training.loop import TEACHER
from tests.stopped_trainings import stopped_behind_a_step

RATES = {"learning_rate": 0.02, "rows_learning_rate": 0, "projector_learning_rate": 0}
STAGE = {"stage": "rank", "max_steps": 3, "batch_tokens": 128, "row_tokens": 64, **RATES}


def recipe_of(folder, **changes):
    data = {"items": str(folder / "items.jsonl"), "interactions": str(folder / "interactions.csv")}
    return Config.parse({"data": data, "training": {"stages": [STAGE | changes]}})


@pytest.fixture
def shrunk(talk_folder, taught, tmp_path):
    shrink(str(taught), Shrinking(1), tmp_path / "small", recipe_of(talk_folder))
    return tmp_path / "small"


def test_items_writing_and_listening_stay_and_the_other_layers_go(taught, shrunk):
    before, after = (load_file(folder / "adapter.safetensors") for folder in (taught, shrunk))
    gone = set(before) - set(after)
    assert gone and all(".1." in name and ".rank." in name for name in gone) and set(after) < set(before)
    moved = {name for name in after if not before[name].equal(after[name])}
    assert moved and all(".rank." in name or name.startswith("rank_norm") for name in moved)
    one, other = (load_file(folder / "listening.safetensors") for folder in (taught, shrunk))
    assert one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)
    config = from_pretrained(shrunk).config
    assert config.base.rank_layers == 1
    assert (
        json.loads((shrunk / "checkpoint.json").read_text())["prompts"]
        == json.loads((taught / "checkpoint.json").read_text())["prompts"]
    )


def test_the_card_says_of_what_it_is_a_smaller_copy(taught, shrunk):
    card, metrics = (shrunk / "README.md").read_text(), json.loads((shrunk / "metrics.json").read_text())
    assert f"the first 1 of the 2 ranking layers of `{taught}`" in card
    assert metrics["shrunk"] == {"of": str(taught), "before": 2, "layers": 1, "epochs": 4.0, "weight": 0.5}
    assert [stage["stage"] for stage in metrics["stages"]] == ["rank", "converse"]


def test_it_expects_what_the_whole_model_does_more_than_without_distillation(talk_folder, taught, tmp_path):
    def states(folder):
        checkpoint = from_pretrained(folder)
        histories = told_histories(checkpoint.config, checkpoint.catalogue).items
        prompts = [checkpoint.builder.prompt(history[:-2]) for history in histories]
        return torch.from_numpy(Recommender(checkpoint).score_prompts(prompts, range(len(checkpoint.catalogue))))

    whole = states(taught)

    def apart(folder):
        return float((whole.exp() * (whole - states(folder))).sum(1).mean())

    shrink(str(taught), Shrinking(1, weight=1.0), tmp_path / "taught", recipe_of(talk_folder, max_steps=40))
    shrink(str(taught), Shrinking(1, weight=1.0), tmp_path / "cut", recipe_of(talk_folder, max_steps=1))
    assert apart(tmp_path / "taught") < 0.7 * apart(tmp_path / "cut")


def test_a_killed_run_goes_on_and_asks_the_whole_model_once(talk_folder, taught, tmp_path, monkeypatch):
    recipe = recipe_of(talk_folder)
    with stopped_behind_a_step():
        shrink(str(taught), Shrinking(1), tmp_path / "small", recipe)
    assert (tmp_path / "small.training" / TEACHER).is_file() and not (tmp_path / "small").exists()
    with monkeypatch.context() as patched:
        patched.setattr(former_self, "own_softmax", lambda *_: pytest.fail("asked again"))
        assert shrink(str(taught), Shrinking(1), tmp_path / "small", recipe)[0].steps == 3
    shrink(str(taught), Shrinking(1), tmp_path / "at once", recipe)
    one, other = (load_file(tmp_path / name / "adapter.safetensors") for name in ("small", "at once"))
    assert all(one[name].equal(other[name]) for name in one)
    assert not (tmp_path / "small.training" / TEACHER).exists()


def test_without_a_recipe_its_own_stage_is_taken_and_items_are_frozen(talk_folder, taught, tmp_path):
    result = shrink(str(taught), Shrinking(1, epochs=1), tmp_path / "small")
    before, after = (load_file(folder / "adapter.safetensors") for folder in (taught, tmp_path / "small"))
    assert result[0].steps > 0 and before["rows"].equal(after["rows"])
    assert all(before[name].equal(after[name]) for name in before if name.startswith("projectors."))


def test_what_cannot_shrink_is_named(talk_folder, taught, tmp_path, make_checkpoint, config):
    with pytest.raises(ConfigError, match="ranks with 2 layers, and 2 are not fewer"):
        shrink(str(taught), Shrinking(2), tmp_path / "small")
    with pytest.raises(ConfigError, match="no stage rank"):
        shrink(str(taught), Shrinking(1), tmp_path / "small", recipe_of(talk_folder, stage="explain"))
    several = config.updated({"semantic_ids.levels": 3})
    save_pretrained(make_checkpoint(3, several), tmp_path / "levels")
    with pytest.raises(ConfigError, match="has 3 levels of ids"):
        shrink(str(tmp_path / "levels"), Shrinking(1), tmp_path / "small")
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize("rows", [[], ["u,100,1", "v,101,1"]], ids=["none", "one each"])
def test_histories_that_nothing_can_be_learned_from(talk_folder, taught, tmp_path, rows):
    (tmp_path / "few.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    recipe = recipe_of(talk_folder).updated({"data.interactions": str(tmp_path / "few.csv")})
    with pytest.raises((DataError, RecommenderError)) as raised:
        shrink(str(taught), Shrinking(1), tmp_path / "small", recipe)
    assert "\n" not in raised.value.message and raised.value.hint
    assert not (tmp_path / "small").exists()


def test_answers_that_were_kept_are_those_of_the_same_model_and_histories(taught, tmp_path):
    checkpoint = from_pretrained(taught)
    histories = [np.array([0, 1, 2]), np.array([3, 4])]
    first = former_self.expected_by(checkpoint, histories, 0.5, "a", tmp_path / TEACHER, None)
    kept = former_self.expected_by(checkpoint, histories, 0.25, "a", tmp_path / TEACHER, None)
    assert kept.items.equal(first.items) and kept.probabilities.equal(first.probabilities)
    assert kept.targets.tolist() == first.targets.tolist() == [0, 1, 2, 3, 4]
    assert float(torch.as_tensor(kept.weight_at(torch.arange(2))).mean()) == 0.25
    other = former_self.expected_by(checkpoint, histories[:1], 0.5, "a", tmp_path / TEACHER, None)
    assert len(other.items) == 3
