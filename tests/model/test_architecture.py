"""What a base's architecture has: cut configs, scaled norms, scores behind the head, positions that are read."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import (
    CohereConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GraniteConfig,
    LlamaConfig,
    Phi3Config,
    Qwen3Config,
    SmolLM3Config,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from recommender.model.architecture import (
    WordScores,
    as_plain_scores,
    cut_config,
    embedding_scale,
    positions_read,
    scale_norm,
)

SIZES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 4, "vocab_size": 30, "pad_token_id": 0}
SIZES |= {"num_attention_heads": 2, "num_key_value_heads": 1}


def tiny(kind, **more):
    torch.manual_seed(0)
    return MODEL_FOR_CAUSAL_LM_MAPPING[kind](kind(**SIZES, **more)).eval()


@pytest.mark.parametrize("kind", [LlamaRMSNorm, Gemma3RMSNorm, nn.LayerNorm])
def test_a_norm_is_scaled_whatever_it_multiplies_by(kind):
    norm, x = kind(16).requires_grad_(False), torch.randn(5, 16)
    for parameter in norm.parameters():
        parameter.copy_(torch.randn(16))
    before = norm(x)
    scale_norm(norm, 0.25)
    torch.testing.assert_close(norm(x), before * 0.25, rtol=1e-5, atol=1e-5)


def test_what_a_config_lists_layer_by_layer_is_cut():
    short = cut_config(SmolLM3Config(**SIZES, no_rope_layers=[1, 0, 1, 0]), 3)
    assert short.num_hidden_layers == 3 and short.no_rope_layers == [1, 0, 1] and len(short.layer_types) == 3
    assert tiny(SmolLM3Config).config.num_hidden_layers == 4


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (LlamaConfig, {}),
        (CohereConfig, {"logit_scale": 0.1}),
        (GraniteConfig, {"logits_scaling": 8.0}),
        (Gemma2Config, {"final_logit_softcapping": 0.5, "head_dim": 8}),
    ],
)
@torch.no_grad()
def test_scores_of_words_are_the_logits(kind, more):
    llm, ids = tiny(kind, **more), torch.arange(1, 9)[None]
    outputs = llm.get_output_embeddings()(llm.model(input_ids=ids).last_hidden_state)
    torch.testing.assert_close(WordScores.of(llm)(outputs), llm(input_ids=ids).logits)
    as_plain_scores(llm.config)
    assert WordScores.of(llm) == WordScores()


@pytest.mark.parametrize(("kind", "scale"), [(LlamaConfig, 1.0), (Gemma3TextConfig, 4.0)])
def test_rows_of_words_are_multiplied_by(kind, scale):
    llm = tiny(kind)
    table = llm.get_input_embeddings()
    assert embedding_scale(llm) == scale
    torch.testing.assert_close(table(torch.arange(5)), table.weight[:5] * scale)


def test_a_base_reads_no_further_than_where_its_rotations_change():
    assert positions_read(Qwen3Config(max_position_embeddings=900)) == 900
    factors = {"long_factor": [1.0] * 4, "short_factor": [1.0] * 4, "rope_type": "longrope", "rope_theta": 1e4}
    phi = Phi3Config(
        **SIZES, max_position_embeddings=900, original_max_position_embeddings=300, rope_parameters=factors
    )
    assert positions_read(phi) == 300
