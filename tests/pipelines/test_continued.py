"""A training that goes on: only the adapter of ranking moves, it resumes, and what cannot go on is named."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from recommender.baselines import FitData, ItemContent, make_baseline
from recommender.config import Config
from recommender.engine import Recommender
from recommender.errors import ConfigError, RecommenderError
from recommender.model.checkpoint import from_pretrained
from recommender.pipelines.continued import continue_ranking
from recommender.pipelines.train import told_histories, train
from recommender.training import loop
from tests.stopped_trainings import stopped_behind_a_step

FIRST = {"stage": "rank", "max_steps": 1, "batch_tokens": 128, "row_tokens": 64}
FAVOURITES = FIRST | {
    "max_steps": 3,
    "learning_rate": 0.05,
    "favourites": 50,
    "rows_learning_rate": 0,
    "projector_learning_rate": 0,
    "teacher": False,
}


def recipe_of(folder, *stages, **training):
    data = {"items": str(folder / "items.jsonl"), "interactions": str(folder / "interactions.csv")}
    return Config.parse({"data": data, "training": {"stages": list(stages), **training}})


def test_only_the_adapter_of_ranking_moves(talk_folder, taught, tmp_path):
    before = load_file(taught / "adapter.safetensors")
    results = continue_ranking(str(taught), recipe_of(talk_folder, FIRST, FAVOURITES), tmp_path / "on", 2)
    after = load_file(tmp_path / "on" / "adapter.safetensors")
    moved = {name for name in before if not before[name].equal(after[name])}
    assert moved and all("lora_" in name for name in moved)
    one, other = (load_file(folder / "listening.safetensors") for folder in (taught, tmp_path / "on"))
    assert all(one[name].equal(other[name]) for name in one)
    assert [result.steps for result in results] == [3]
    told = json.loads((tmp_path / "on" / "metrics.json").read_text())["stages"]
    assert [stage["steps"] for stage in told if stage["stage"] == "rank"][-1] == 3
    card = (tmp_path / "on" / "README.md").read_text()
    assert "| `recommender train --start CHECKPOINT --from-stage 2` |" in card


def test_a_run_that_was_stopped_is_not_resumed_from_another_checkpoint(talk_folder, taught, tmp_path):
    recipe = recipe_of(talk_folder, FAVOURITES)
    with stopped_behind_a_step():
        continue_ranking(str(taught), recipe, tmp_path / "on", 1)
    assert (tmp_path / "on.training" / loop.STATE).is_file()
    continue_ranking(str(taught), recipe, tmp_path / "other", 1)
    with pytest.raises(RecommenderError, match="start"):
        continue_ranking(str(tmp_path / "other"), recipe, tmp_path / "on", 1)
    assert continue_ranking(str(taught), recipe, tmp_path / "on", 1)[0].steps == 3


def test_items_may_have_moved(talk_folder, taught, tmp_path):
    recipe, places = recipe_of(talk_folder, FAVOURITES), (tmp_path / "first.jsonl", tmp_path / "then.jsonl")
    for place in places:
        shutil.copy(talk_folder / "items.jsonl", place)
    first, then = (recipe.updated({"data.items": str(place)}) for place in places)
    continue_ranking(str(taught), first, tmp_path / "first", 1)
    places[0].unlink()
    assert continue_ranking(str(tmp_path / "first"), then, tmp_path / "then", 1)[0].steps == 3


def test_what_cannot_go_on_is_named(talk_folder, taught, tmp_path):
    with pytest.raises(ConfigError, match="no stage rank from its stage 3 on; it has 2 stages"):
        continue_ranking(str(taught), recipe_of(talk_folder, FIRST, FAVOURITES), tmp_path / "on", 3)
    assert not (tmp_path / "on").exists()


def test_a_memory_may_join_and_the_last_known_items_be_learned(talk_folder, taught, tmp_path):
    recipe = recipe_of(talk_folder, FAVOURITES | {"favourites": 0}, validate_on=2).updated({"base.memory": 4})
    continue_ranking(str(taught), recipe, tmp_path / "on", 1)
    before, after = from_pretrained(taught), from_pretrained(tmp_path / "on")
    assert before.model.memory is None and after.model.memory.length == 4 and after.config.training.validate_on == 2
    assert after.model.memory.follow.abs().sum() > 0
    torch.testing.assert_close(after.model.rows, before.model.rows)


def test_the_recipe_says_how_many_items_prompts_spell_out(talk_folder, taught, tmp_path):
    titled = from_pretrained(taught).config.prompt.titled + 1
    recipe = recipe_of(talk_folder, FAVOURITES).updated({"prompt.titled": titled})
    continue_ranking(str(taught), recipe, tmp_path / "on", 1)
    after = from_pretrained(tmp_path / "on")
    assert after.config.prompt.titled == titled
    spelled = after.builder.prompt([1, 2, 3]).tokens
    assert len(spelled) > len(after.builder.prompt([1, 2, 3], titled=titled - 1).tokens)


def test_what_it_expected_may_be_what_it_learns(talk_folder, taught, tmp_path):
    stage = FIRST | {"max_steps": 40, "learning_rate": 0.005, "rows_learning_rate": 0, "projector_learning_rate": 0}
    before, scores = from_pretrained(taught), {}
    histories = told_histories(before.config, before.catalogue).items

    def expected(checkpoint):
        engine = Recommender(checkpoint)
        prompts = [checkpoint.builder.prompt(history[:-2], titled=0) for history in histories]
        return torch.from_numpy(engine.score_prompts(prompts, range(len(checkpoint.catalogue)))).softmax(-1)

    for name, weight in (("kept", 1.0), ("moved", 0.0)):
        recipe = recipe_of(talk_folder, stage, teacher={"baseline": "itself", "weight": weight})
        continue_ranking(str(taught), recipe, tmp_path / name, 1)
        scores[name] = (expected(from_pretrained(tmp_path / name)) - expected(before)).abs().sum(-1).mean()
    assert scores["kept"] < scores["moved"] / 3
    assert from_pretrained(tmp_path / "kept").config.training.teacher == before.config.training.teacher


def test_only_what_goes_on_can_be_its_own_teacher(talk_folder, taught, tmp_path):
    recipe = recipe_of(talk_folder, FIRST, teacher={"baseline": "itself"})
    with pytest.raises(ConfigError, match="'itself' is a checkpoint that is trained further, and this is a new one"):
        train(recipe, tmp_path / "new")
    ends = recipe.updated({"training.teacher.ends": True})
    with pytest.raises(ConfigError, match="training.teacher.ends: 'itself' tells of interactions that came"):
        continue_ranking(str(taught), ends, tmp_path / "on", 1)
    assert not (tmp_path / "on").exists() and not (tmp_path / "new").exists()


def test_a_teacher_is_followed(talk_folder, taught, tmp_path):
    stage = FAVOURITES | {"favourites": 0, "teacher": True, "max_steps": 30}
    taught_by = recipe_of(talk_folder, stage, teacher={"baseline": "transition-tfidf", "weight": 1.0})
    taught_by = taught_by.updated({"base.memory": 4})
    continue_ranking(str(taught), taught_by, tmp_path / "on", 1)
    before, after = from_pretrained(taught), from_pretrained(tmp_path / "on")
    histories = told_histories(after.config, after.catalogue).items
    content = ItemContent(
        [after.catalogue.document(i) for i in range(len(after.catalogue))], lambda: before.model.features
    )
    teacher = make_baseline("transition-tfidf")
    teacher.fit(FitData([history[:-2] for history in histories], len(after.catalogue), content))
    told = [int(teacher.views_by_position(history[:-2], True)[-1, :, 0].argmax()) for history in histories]

    def expected(checkpoint):
        engine = Recommender(checkpoint)
        prompts = [checkpoint.builder.prompt(history[:-2]) for history in histories]
        scores = engine.score_prompts(prompts, range(len(checkpoint.catalogue)))
        return float(np.mean(scores[np.arange(len(told)), told]))

    assert expected(after) > expected(before) + 0.5
