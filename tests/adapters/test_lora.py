"""The LoRA adapters: where they lie in the base model, which one is active, and names that it does not have."""

from __future__ import annotations

import re

import pytest

from recommender.adapters.lora import EXPLAIN, RANK, add_adapters
from recommender.config import LoraConfig
from recommender.errors import ConfigError
from recommender.model import load_llm


@pytest.fixture
def llm(config):
    return load_llm(config.base)[0]


def places(model, adapter):
    """(layer, matrix) of each part of an adapter."""
    pattern = re.compile(rf"layers\.(\d+)\.\w+\.(\w+)\.lora_A\.{adapter}\.")
    found = (pattern.search(name) for name, _ in model.named_parameters())
    return {(int(match[1]), match[2]) for match in found if match}


def test_ranking_lies_in_the_first_layers_and_writing_in_all(llm):
    model = add_adapters(llm, LoraConfig(r=6), rank_layers=2)
    assert places(model, RANK) == {(layer, name) for layer in range(2) for name in LoraConfig().target_modules}
    assert places(model, EXPLAIN) == {(layer, name) for layer in range(3) for name in ("q_proj", "v_proj")}
    assert model.active_adapter == RANK
    ranks = {n.split(".")[-2]: p.shape[0] for n, p in model.named_parameters() if "lora_A" in n}
    assert ranks == {RANK: 6, EXPLAIN: 3}


def test_writing_takes_the_given_matrices_where_none_is_its_own(llm):
    model = add_adapters(llm, LoraConfig(r=1, target_modules=("up_proj",)), rank_layers=1)
    assert places(model, EXPLAIN) == {(layer, "up_proj") for layer in range(3)} and places(model, RANK) == {
        (0, "up_proj")
    }


def test_matrices_that_the_base_does_not_have_are_named(llm):
    with pytest.raises(ConfigError, match=r"lora\.target_modules: c_attn are not in the base model"):
        add_adapters(llm, LoraConfig(target_modules=("c_attn",)), rank_layers=1)
