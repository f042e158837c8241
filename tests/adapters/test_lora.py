"""The LoRA adapters: where they lie in the base model, which one is active, and names that it does not have."""

from __future__ import annotations

import re

import pytest
from transformers import Phi3Config, Qwen3MoeConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from recommender.adapters.lora import EXPLAIN, RANK, adapted_shapes, add_adapters, targets
from recommender.config import LoraConfig
from recommender.errors import ConfigError
from recommender.model import load_llm

LLAMA = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


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
    assert places(model, RANK) == {(layer, name) for layer in range(2) for name in LLAMA}
    assert places(model, EXPLAIN) == {(layer, name) for layer in range(3) for name in ("q_proj", "v_proj")}
    assert model.active_adapter == RANK
    ranks = {n.split(".")[-2]: p.shape[0] for n, p in model.named_parameters() if "lora_A" in n}
    assert ranks == {RANK: 6, EXPLAIN: 3}


def test_writing_takes_the_given_matrices_where_none_is_its_own(llm):
    model = add_adapters(llm, LoraConfig(r=1, target_modules=("up_proj",)), rank_layers=1)
    assert places(model, EXPLAIN) == {(layer, "up_proj") for layer in range(3)} and places(model, RANK) == {
        (0, "up_proj")
    }


@pytest.mark.parametrize(
    ("kind", "more", "found"),
    [
        (Phi3Config, {}, {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}),
        (Qwen3MoeConfig, {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 8}, set(LLAMA[:4])),
    ],
)
def test_matrices_are_found_on_the_base(kind, more, found):
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "vocab_size": 20, "pad_token_id": 0}
    llm = MODEL_FOR_CAUSAL_LM_MAPPING[kind](kind(num_attention_heads=2, num_key_value_heads=1, **sizes, **more))
    assert set(targets(llm, LoraConfig())) == found
    model = add_adapters(llm, LoraConfig(r=2), rank_layers=1)
    assert places(model, RANK) == {(0, name) for name in found}
    assert {name.split(".lora_")[0] for name in adapted_shapes(llm, LoraConfig(r=2), 1)} == {
        name.removeprefix("base_model.model.").split(".lora_")[0]
        for name, _ in model.named_parameters()
        if "lora_" in name
    }


def test_matrices_that_the_base_does_not_have_are_named(llm):
    with pytest.raises(ConfigError, match=r"lora\.target_modules: c_attn are not in the base model"):
        add_adapters(llm, LoraConfig(target_modules=("c_attn",)), rank_layers=1)
