"""What a base model's architecture has: where its layers are, what it multiplies, which matrices LoRA may adapt.

The one place that knows families. What a base must have is checked when it is loaded: its parts here, and that it computes
packed rows as it computes examples alone in `base_check.py`.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

#: layers of these classes hold a state that runs through a whole row, over the borders of its examples
_RECURRENT = re.compile(
    "Mamba|SSM|GatedDelta|Recurrent|Rglru|ShortConv|Rwkv|Retention|LinearAttention|LightningAttention"
)
#: of the layer types of transformers, those that our attention computes
_ATTENTIONS = ("full_attention", "sliding_attention", "attention")


def text_model(llm: Any) -> Any:
    """Return the language model of a multimodal wrapper as a causal LLM of its own; any other model as it is.

    It shares its weights with the wrapper, whose towers are given up.
    """
    inner = getattr(getattr(llm, "model", None), "language_model", None)
    if inner is None:
        return llm
    config = llm.config.get_text_config()
    kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if kind is None or type(config) is type(llm.config):
        return llm
    config = copy.deepcopy(config)
    config._attn_implementation = llm.config._attn_implementation
    tied = getattr(llm.config, "tie_word_embeddings", None)
    if tied is not None:
        config.tie_word_embeddings = tied
    with torch.device("meta"):
        text = kind._from_config(config) if hasattr(kind, "_from_config") else AutoModelForCausalLM.from_config(config)
    text.model, text.lm_head = inner, llm.lm_head
    inner.config = text.config
    for name in ("quantization_method", "hf_quantizer", "is_quantized", "is_loaded_in_4bit"):
        if hasattr(llm, name):
            setattr(text, name, getattr(llm, name))
    if hasattr(llm.config, "quantization_config"):
        text.config.quantization_config = llm.config.quantization_config
    text.generation_config = llm.generation_config
    return text.eval()


def missing_part(llm: Any) -> str | None:
    """Return what a causal LLM lacks to read packed rows, None if it has all parts."""
    if mixed := _recurrent(llm):
        return f"has {mixed}: what they compute runs through a whole row, so users packed in one would leak into each other"
    backbone: Any = getattr(llm, "model", None)
    if not all(hasattr(backbone, part) for part in ("layers", "norm", "embed_tokens")):
        return "has its decoder layers, last norm and embeddings not in model.layers, model.norm and model.embed_tokens"
    if getattr(backbone.norm, "weight", None) is None:
        return "has a last norm without weights, which ranking needs to scale its scores"
    if llm.get_output_embeddings() is None:
        return "has no head over its vocabulary"
    return None


def _recurrent(llm: Any) -> str | None:
    config = llm.config.get_text_config()
    types = getattr(config, "layer_types", None) or getattr(config, "layers_block_type", None) or ()
    others = sorted({str(kind) for kind in types} - set(_ATTENTIONS))
    if others:
        return ", ".join(f"{kind} layers" for kind in others)
    found = sorted({type(module).__name__ for module in llm.modules() if _RECURRENT.search(type(module).__name__)})
    layers = [name for name in found if "ForCausalLM" not in name]
    return f"{layers[0]} layers" if layers else None


def embedding_scale(llm: Any) -> float:
    """Return by what the rows of the embedding table are multiplied to be input (Gemma: the root of the width)."""
    return float(getattr(llm.get_input_embeddings(), "scalar_embed_scale", 1.0))


@dataclass(frozen=True)
class WordScores:
    """What a base makes of its head's outputs before they are logits: multiplied (Cohere, Granite), or capped (Gemma 2)."""

    scale: float = 1.0
    softcap: float | None = None

    @classmethod
    def of(cls, llm: Any) -> WordScores:
        """Read it from a base."""
        config = llm.config.get_text_config()
        scale = float(getattr(config, "logit_scale", None) or 1.0)
        scale /= float(getattr(config, "logits_scaling", None) or 1.0)
        return cls(scale, getattr(config, "final_logit_softcapping", None))

    def __call__(self, outputs: Tensor) -> Tensor:
        """Return the logits of the head's outputs."""
        if self.scale != 1:
            outputs = outputs * self.scale
        return outputs if self.softcap is None else self.softcap * torch.tanh(outputs / self.softcap)


def as_plain_scores(config: Any) -> None:
    """Let a config, in place, make logits of its head's outputs as they are: items are scored by plain products."""
    for name, plain in (("logit_scale", 1.0), ("logits_scaling", 1.0), ("final_logit_softcapping", None)):
        if getattr(config, name, None) is not None:
            setattr(config, name, plain)


def cut_config(config: Any, layers: int) -> Any:
    """Return a copy of a base's config for its first `layers` layers: what it lists layer by layer is cut, too."""
    short, before = copy.deepcopy(config), config.num_hidden_layers
    for name, value in vars(config).items():
        if isinstance(value, (list, tuple)) and len(value) == before and name != "architectures":
            setattr(short, name, list(value)[:layers])
    short.num_hidden_layers = layers
    return short


def scale_norm(norm: Any, factor: float) -> None:
    """Multiply what a norm gives by a factor, in place. Some families multiply by one more than the weight (Gemma)."""
    weight, bias = norm.weight.data, getattr(norm, "bias", None)
    if bias is not None:
        bias.data.mul_(factor)
    more = round(float((norm_factors(norm) - weight).mean()))
    weight.add_(more).mul_(factor).sub_(more)


@torch.no_grad()
def norm_factors(norm: Any) -> Tensor:
    """Return by what a norm multiplies each normalised channel, [hidden], without its bias."""
    # signs are their own normal form, so they show the factor
    signs = torch.ones_like(norm.weight.data)
    signs[1::2] = -1
    shown, bias = norm(signs), getattr(norm, "bias", None)
    return (shown if bias is None else shown - bias) * signs


def positions_read(config: Any) -> int | None:
    """Return how many positions a base reads, None if it does not say.

    Rotations that change with the length of a prompt (longrope, dynamic) are the same up to the length of pre-training only,
    and prompts share the keys of their beginning: there a base reads no further.
    """
    most = getattr(config, "max_position_embeddings", None)
    rope = getattr(config, "rope_parameters", None) or {}
    changing = isinstance(rope, dict) and rope.get("rope_type") in ("longrope", "dynamic")
    first = (rope.get("original_max_position_embeddings") if changing else None) or (
        getattr(config, "original_max_position_embeddings", None) if changing else None
    )
    return min(int(most), int(first)) if most and first else most
