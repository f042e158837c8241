"""The check of faster layers refuses what is only nearly the same, and says what differs."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, MistralConfig, SmolLM3Config

from recommender.inference.layers import FusedStack, ModuleStack, make_stack
from recommender.model import block_attention

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "vocab_size": 60}
SIZES |= {"num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def stack_of(config, dtype=torch.float32, change=None):
    torch.manual_seed(0)
    llm = AutoModelForCausalLM.from_config(config, attn_implementation=block_attention.NAME).to(dtype).eval()
    if change is not None:
        change(llm.model)
    with torch.no_grad():
        return make_stack(llm.model, llm.model.norm, llm, "rank")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_layer_without_rotation_is_found_in_any_precision(dtype):
    """SmolLM3: the third of four layers does not rotate; a mean over all outputs would be within a fifth."""
    stack = stack_of(SmolLM3Config(**SIZES, no_rope_layers=[1, 1, 0, 1]), dtype)
    assert isinstance(stack, ModuleStack) and stack.refused == "layer 2: its queries"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_layers_are_taken_in_any_precision(dtype):
    assert isinstance(stack_of(LlamaConfig(**SIZES), dtype), FusedStack)


def test_a_window_is_taken_over():
    stack = stack_of(MistralConfig(**SIZES, sliding_window=8))
    assert isinstance(stack, FusedStack) and [traits.window for traits in stack.traits] == [8] * 4


def scale_output(backbone):
    layer = backbone.layers[3]
    forward = layer.forward
    layer.forward = lambda *args, **kwargs: forward(*args, **kwargs) * 1.001


def scale_attention(backbone):
    attention = backbone.layers[1].self_attn
    forward = attention.forward

    def other(*args, **kwargs):
        attention.scaling, kept = attention.scaling * 1.01, attention.scaling
        try:
            return forward(*args, **kwargs)
        finally:
            attention.scaling = kept

    attention.forward = other


def one_position(backbone):
    """Change what the first layer makes of a single position, far from the beginning."""
    layer = backbone.layers[0]
    forward = layer.forward

    def other(*args, **kwargs):
        out = forward(*args, **kwargs)
        out[:, 17] *= 1.01
        return out

    layer.forward = other


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (scale_output, "layer 3: what it adds"),
        (scale_attention, "layer 1: the scale of its attention"),
        (one_position, "layer 0: what it adds"),
    ],
)
def test_small_differences_at_any_depth_and_position_are_named(change, named):
    stack = stack_of(LlamaConfig(**SIZES), change=change)
    assert isinstance(stack, ModuleStack) and stack.refused == named


def test_a_refusal_is_logged_once(caplog):
    class OtherForCausalLM(LlamaForCausalLM):
        pass

    with caplog.at_level("WARNING", logger="recommender.inference.layers"):
        for _ in range(2):
            llm = OtherForCausalLM._from_config(LlamaConfig(**SIZES), attn_implementation=block_attention.NAME).eval()
            scale_output(llm.model)
            with torch.no_grad():
                make_stack(llm.model, llm.model.norm, llm, "rank")
    assert [record.getMessage() for record in caplog.records] == [
        "OtherForCausalLM runs by its own code: faster layers would compute something else (layer 3: what it adds)"
    ]
