"""Tiny random bases of many families: three layers, a window of eight positions where the family has one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from tests.conftest import TEMPLATE, WORDS

WINDOW, LAYERS = 8, 3
#: as Gemma's first ones: no system role, and turns that alternate
STRICT_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] not in ('user', 'assistant') %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": LAYERS, "max_position_embeddings": 512}
_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_SLIDING = ["sliding_attention", "full_attention", "sliding_attention"]


@dataclass(frozen=True, eq=False)
class Family:
    """A family of bases: `config`: its class in transformers; `more`: what its config has beside common sizes.

    `refused`: what the one line says that refuses it, None if it is served; `strict`: its template has no system role.
    `quick`: whether the default tests try all of it; `fused`: whether faster layers take the place of its own.
    """

    name: str
    config: str
    more: dict[str, Any]
    refused: str | None = None
    strict: bool = False
    quick: bool = True
    fused: bool = False

    def make(self, folder: Path) -> Path:
        """Write a tiny random base into `folder`."""
        tokenizer = word_tokenizer()
        if self.strict:
            tokenizer.chat_template = STRICT_TEMPLATE
        tokenizer.save_pretrained(folder)
        torch.manual_seed(0)
        _model(self, len(tokenizer)).save_pretrained(folder)
        return folder


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Make a tokenizer of a few words."""
    vocabulary = {word: i for i, word in enumerate(["<unk>", "<|im_start|>", "<|im_end|>", *dict.fromkeys(WORDS)])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"unk_token": "<unk>", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}
    return PreTrainedTokenizerFast(tokenizer_object=raw, **names, chat_template=TEMPLATE)


def _model(family: Family, words: int) -> Any:
    kind = getattr(transformers, family.config)
    sizes = {**_SIZES, **_HEADS, "vocab_size": words, **family.more}
    if family.config == "Gemma3Config":
        vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = kind(
            text_config=sizes, vision_config={**vision, "image_size": 28, "patch_size": 14}, image_token_index=3
        )
    else:
        config = kind(**sizes)
    model = MODEL_FOR_CAUSAL_LM_MAPPING[kind](config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # zero biases, norms of one and equal routers would hide what is done with them
            if parameter.dim() == 1 or "router" in name or name.endswith("gate.weight"):
                parameter.add_(0.2 * torch.randn(parameter.shape))
    return model


_MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
_GEMMA = {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": WINDOW, "layer_types": _SLIDING}
FAMILIES = (
    Family("Llama", "LlamaConfig", {"tie_word_embeddings": True}, fused=True),
    Family("Qwen2", "Qwen2Config", {}, quick=False, fused=True),
    Family("Qwen3", "Qwen3Config", {"head_dim": 16}, fused=True),
    Family("Qwen3-MoE", "Qwen3MoeConfig", {"head_dim": 16, **_MOE}),
    Family(
        "Mistral, short window", "MistralConfig", {"head_dim": 16, "sliding_window": WINDOW}, strict=True, fused=True
    ),
    Family("Mixtral", "MixtralConfig", {"num_local_experts": 4, "num_experts_per_tok": 2}, quick=False),
    Family("Gemma 1", "GemmaConfig", {"head_dim": 16}, strict=True, quick=False, fused=True),
    Family(
        "Gemma 2",
        "Gemma2Config",
        {**_GEMMA, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
        strict=True,
    ),
    Family("Gemma 3 text", "Gemma3TextConfig", _GEMMA),
    Family("Gemma 3, multimodal", "Gemma3Config", _GEMMA),
    Family("Phi-3", "Phi3Config", {"sliding_window": WINDOW}),
    Family("SmolLM3", "SmolLM3Config", {"no_rope_layers": [1, 0, 1], "pad_token_id": 0}),
    Family("OLMo 2", "Olmo2Config", {}, quick=False),
    Family("OLMo 3", "Olmo3Config", {"sliding_window": WINDOW, "layer_types": _SLIDING}),
    Family("GLM-4", "Glm4Config", {"head_dim": 16}),
    Family(
        "Granite",
        "GraniteConfig",
        {"embedding_multiplier": 6.0, "residual_multiplier": 0.5, "logits_scaling": 4.0, "attention_multiplier": 0.3},
    ),
    Family("StableLM", "StableLmConfig", {"use_qkv_bias": True}),
    Family("Cohere", "CohereConfig", {"logit_scale": 0.25}, quick=False),
    Family(
        "Cohere 2",
        "Cohere2Config",
        {"logit_scale": 0.25, "sliding_window": WINDOW, "layer_types": _SLIDING},
        quick=False,
    ),
    Family("StarCoder 2", "Starcoder2Config", {"sliding_window": WINDOW}, quick=False),
    Family(
        "Ministral",
        "MinistralConfig",
        {"head_dim": 16, "sliding_window": WINDOW, "layer_types": _SLIDING},
        quick=False,
        fused=True,
    ),
    Family(
        "gpt-oss",
        "GptOssConfig",
        {
            "head_dim": 16,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "sliding_window": WINDOW,
            "layer_types": _SLIDING,
        },
    ),
    Family(
        "Qwen2-MoE, short window",
        "Qwen2MoeConfig",
        {**_MOE, "shared_expert_intermediate_size": 64, "use_sliding_window": True, "sliding_window": WINDOW},
        quick=False,
    ),
    Family(
        "Qwen3-Next, hybrid",
        "Qwen3NextConfig",
        {"head_dim": 16, **_MOE, "layer_types": ["linear_attention", "linear_attention", "full_attention"]},
        refused="has linear_attention layers",
    ),
    Family(
        "LFM2, hybrid",
        "Lfm2Config",
        {"layer_types": ["conv", "full_attention", "conv"]},
        refused="has conv layers",
    ),
    Family(
        "Jamba, hybrid",
        "JambaConfig",
        {
            "attn_layer_period": 3,
            "attn_layer_offset": 1,
            "mamba_d_state": 4,
            "mamba_dt_rank": 4,
            "use_mamba_kernels": False,
        },
        refused="has (linear_attention|mamba) layers",
    ),
    Family("OLMo 1", "OlmoConfig", {}, refused="a last norm without weights"),
    Family("GPT-NeoX", "GPTNeoXConfig", {}, refused="not in model.layers"),
    Family(
        "Phi-3.5-MoE, window",
        "PhimoeConfig",
        {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": WINDOW},
        refused="a window of 8 positions",
    ),
)
SERVED = tuple(family for family in FAMILIES if family.refused is None)
REFUSED = tuple(family for family in FAMILIES if family.refused is not None)
