"""A private training from tables to a checkpoint: what its card says, what it leaves out, what is refused afterwards."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recommender.config import Config
from recommender.errors import ConfigError, RecommenderError
from recommender.model.checkpoint import from_pretrained
from recommender.pipelines import train
from recommender.pipelines.companions import add_companions
from recommender.pipelines.continued import continue_ranking
from recommender.pipelines.converse import teach_listening
from recommender.pipelines.fuse import fuse_checkpoint
from recommender.training.private_counts import noisy_counts
from tests.conftest import tiny_recipe, write_tables

RANK = {"stage": "rank", "epochs": 2, "row_tokens": 64, "titled_share": 0}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, catalogue, histories, llm_folder, text_folder) -> Config:
    cache = tmp_path_factory.getbasetemp() / "encodings"
    training = {
        "stages": [RANK],
        "popularity": 0.5,
        "privacy": {"epsilon": 4, "sampling_rate": 0.5, "content_directions": 3},
    }
    raw = tiny_recipe(
        write_tables(tmp_path_factory.mktemp("tables"), catalogue, histories), llm_folder, text_folder, cache, training
    )
    return Config.parse(raw)


@pytest.fixture(scope="module")
def private(recipe, tmp_path_factory) -> str:
    output = tmp_path_factory.mktemp("private") / "model"
    train.train(recipe, output)
    return str(output)


def test_the_checkpoint_holds_nothing_of_users_but_weights(private):
    checkpoint = from_pretrained(private)
    assert checkpoint.companions is None and checkpoint.trained_on is None
    assert "collaborative" not in checkpoint.model.features.vectors
    assert checkpoint.metrics["stages"][0]["validation"] is None


def test_the_card_says_what_is_promised_and_what_is_not(private):
    with open(f"{private}/metrics.json") as file:
        told = json.load(file)["privacy"]
    assert (
        told["unit"] == "user" and told["steps"] == 4 and told["sampling_rate"] == 0.5 and told["counts_noise"] == 5.0
    )
    assert 3.8 < told["epsilon"] <= 4.0 and told["delta"] == pytest.approx(1 / 120)
    with open(f"{private}/README.md") as file:
        card = file.read()
    for words in (
        "## Privacy",
        "| epsilon | 4.00 |",
        f"| noise multiplier | {told['noise_multiplier']}",
        "Not covered",
    ):
        assert words in card
    assert "recommender study privacy" in card  # the cost was not measured yet
    assert "nothing here proves" not in card


def test_without_privacy_the_card_says_so(recipe, tmp_path):
    plain = recipe.updated({"training.privacy": None, "training.stages.0.max_steps": 1})
    train.train(plain, tmp_path / "plain")
    card = (tmp_path / "plain" / "README.md").read_text()
    assert "## Privacy" not in card and "nothing here proves" in card


@pytest.mark.parametrize(
    "learn",
    [
        lambda source, out, recipe: fuse_checkpoint(source, ["popularity"], out),
        lambda source, out, recipe: add_companions(source, out),
        lambda source, out, recipe: teach_listening(source, out),
        lambda source, out, recipe: train.teach_writing(source, out),
        lambda source, out, recipe: continue_ranking(source, recipe.updated({"training.privacy": None}), out, 1),
    ],
)
def test_nothing_may_be_added_to_it_without_noise(private, recipe, tmp_path, learn):
    with pytest.raises(RecommenderError, match="was trained with privacy, and .* would learn from users without noise"):
        learn(private, tmp_path / "more", recipe)
    assert not (tmp_path / "more").exists()


def test_it_does_not_begin_with_an_adapter_that_learned_from_the_same_users(recipe, tmp_path):
    plain = recipe.updated({"training.privacy": None, "training.stages.0.max_steps": 1})
    train.train(plain, tmp_path / "plain")
    with pytest.raises(ConfigError, match="base.adapter was trained on these interactions"):
        train.train(recipe.updated({"base.adapter": str(tmp_path / "plain")}), tmp_path / "private")


def test_a_delta_that_is_too_large_is_found_before_anything_is_trained(recipe, tmp_path):
    with pytest.raises(ConfigError, match="training.privacy.delta is 0.5: with 12 users"):
        train.train(recipe.updated({"training.privacy.delta": 0.5}), tmp_path / "model")


def test_a_users_counts_have_a_norm_of_one(histories):
    random = np.random.default_rng
    without = noisy_counts(histories, 20, 0.0, random(0))
    rest = noisy_counts(histories[1:], 20, 0.0, random(0))
    assert np.linalg.norm(without - rest) == pytest.approx(1.0)
    repeated = noisy_counts([np.repeat(histories[0], 3)], 20, 0.0, random(0))
    assert np.linalg.norm(repeated) == pytest.approx(1.0)
    many = np.concatenate([noisy_counts([], 1000, 3.0, random(seed)) for seed in range(20)])
    assert (many == 0).mean() == pytest.approx(0.5, abs=0.02)  # what would be negative is none
    assert many[many > 0].std() == pytest.approx(3.0 * (1 - 2 / np.pi) ** 0.5, rel=0.03)
