"""The layers made ready for inference, on small random models of several families, beside the base's own layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    Gemma2Config,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    PhiConfig,
    Qwen2Config,
    Qwen3Config,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from recommender.constraints import Trie
from recommender.errors import ConfigError
from recommender.inference import beam_search
from recommender.inference.layers import FusedStack, ModuleStack
from recommender.inference.weight_cache import WeightCache
from tests.conftest import ITEMS
from tests.inference.test_beam_search import slow_scores

FAMILIES = {
    "llama": (LlamaConfig, FusedStack),
    "llama with biases": (LlamaConfig, FusedStack),
    "mistral": (MistralConfig, FusedStack),
    "qwen2": (Qwen2Config, FusedStack),
    "qwen3": (Qwen3Config, FusedStack),
    "gemma2": (Gemma2Config, ModuleStack),
    "gemma3": (Gemma3TextConfig, ModuleStack),
}


@pytest.fixture
def family(tmp_path, llm_folder, config, make_checkpoint):
    """Make a checkpoint over a small random model, with a LoRA that does something."""

    def make(kind, levels, dtype="float32", **more):
        tokenizer = AutoTokenizer.from_pretrained(llm_folder)
        tokenizer.save_pretrained(tmp_path)
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "head_dim": 8}
        heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2}
        torch.manual_seed(0)
        plain = kind(vocab_size=len(tokenizer), pad_token_id=0, **sizes, **heads, **more)
        MODEL_FOR_CAUSAL_LM_MAPPING[kind](plain).save_pretrained(tmp_path)
        settings = config.updated({"base.llm": str(tmp_path), "base.dtype": dtype})
        checkpoint = make_checkpoint(levels, settings)
        with torch.no_grad():
            for name, parameter in checkpoint.model.named_parameters():
                if "lora_B" in name or "q_proj.bias" in name:
                    parameter.copy_(0.1 * torch.randn(parameter.shape))
        return checkpoint

    return make


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_ranks_as_its_own_layers_do(family, name, levels):
    kind, stack = FAMILIES[name]
    checkpoint = family(kind, levels, **({"attention_bias": True, "mlp_bias": True} if "biases" in name else {}))
    model, builder = checkpoint.model, checkpoint.builder
    assert type(WeightCache(model).stack()) is stack
    trie = Trie.from_codes(model.ids.codes, model.ids.sizes)
    for history in ([], [1, 2, 3, 4, 5, 6]):
        found = beam_search.rank(
            WeightCache(model), [builder.prompt(history)], trie, ITEMS, beam=64, instruction=builder.prefix
        )[0]
        slow = slow_scores(model, builder, history)
        np.testing.assert_allclose(slow[found.items], found.scores, atol=1e-4)


@pytest.mark.parametrize("kind", [LlamaConfig, Gemma2Config])
def test_bfloat16_comes_close_to_float32(family, kind):
    scores = {}
    for dtype in ("float32", "bfloat16"):
        checkpoint = family(kind, 3, dtype)
        prompts = [checkpoint.builder.prompt(history) for history in ([1, 2, 3], [9])]
        scores[dtype] = beam_search.score(WeightCache(checkpoint.model), prompts, range(ITEMS))
    assert np.abs(scores["float32"] - scores["bfloat16"]).max() < 0.1


def test_changed_weights_are_seen(family):
    checkpoint = family(LlamaConfig, 3)
    model, prompts = checkpoint.model, [checkpoint.builder.prompt([1, 2, 3])]
    weights = WeightCache(model)
    before = beam_search.score(weights, prompts, range(ITEMS), instruction=checkpoint.builder.prefix)
    with torch.no_grad():
        next(p for n, p in model.named_parameters() if "lora_B" in n and ".rank." in n).mul_(3)
    after = beam_search.score(weights, prompts, range(ITEMS), instruction=checkpoint.builder.prefix)
    assert np.abs(before - after).max() > 1e-4
    np.testing.assert_allclose(after[0], slow_scores(model, checkpoint.builder, [1, 2, 3]), atol=1e-4)


@pytest.mark.parametrize(("bits", "apart"), [(8, 0.2), (4, 0.6)])
def test_fewer_bits_rank_nearly_as_float32(family, bits, apart):
    checkpoint = family(LlamaConfig, 3)
    prompts = [checkpoint.builder.prompt(history) for history in ([1, 2, 3], [9])]
    exact = beam_search.score(WeightCache(checkpoint.model), prompts, range(ITEMS))
    rounded = family(LlamaConfig, 3)
    rounded.model.config = rounded.model.config.updated({"decoding.bits": bits})
    cache = WeightCache(rounded.model)
    found = beam_search.score(cache, prompts, range(ITEMS))
    assert 0 < np.abs(found - exact).max() < apart
    assert cache.stack().nbytes < WeightCache(checkpoint.model).stack().nbytes * (0.3 if bits == 8 else 0.2)


def test_layers_that_lie_elsewhere_are_refused_by_name(family):
    with pytest.raises(ConfigError, match="decoder layers"):
        family(PhiConfig, 1)
