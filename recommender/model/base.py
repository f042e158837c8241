"""The base language model and its tokenizer, loaded in a precision that this machine computes fast."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from recommender import assets
from recommender.config import BaseConfig
from recommender.errors import ConfigError
from recommender.progress import Progress


def resolve_dtype(name: str) -> torch.dtype:
    """Return the torch type of `auto`, `float32` or `bfloat16`.

    `auto` is bfloat16 where the hardware multiplies it natively. A processor without those instructions emulates
    them: measured 7 times slower forward and 35 times slower backward than float32.
    """
    if name != "auto":
        return torch.float32 if name == "float32" else torch.bfloat16
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def load_llm(config: BaseConfig, progress: Progress | None = None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the base model, frozen, and its tokenizer. Raises AssetError, or ConfigError if 4-bit cannot be had."""
    folder = assets.fetch(config.llm, progress)
    dtype = resolve_dtype(config.dtype)
    options = {"dtype": dtype, "attn_implementation": "sdpa"}
    if config.load_in_4bit:
        options["quantization_config"] = _four_bit(dtype)
    transformers_logging.disable_progress_bar()
    llm = AutoModelForCausalLM.from_pretrained(folder, **options)
    llm.requires_grad_(False)
    if config.rank_layers > len(llm.model.layers):
        raise ConfigError(
            f"base.rank_layers is {config.rank_layers}, but {config.llm} has {len(llm.model.layers)} layers",
            f"set base.rank_layers to {len(llm.model.layers)} or less",
        )
    return llm, AutoTokenizer.from_pretrained(folder)


def _four_bit(dtype: torch.dtype) -> object:
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise ConfigError(
            "base.load_in_4bit needs bitsandbytes, which is not installed", "pip install 'recommender[quantized]'"
        ) from None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def first_layers(backbone: Any, layers: int, norm: nn.Module) -> Any:
    """Return a view of a decoder that ends after `layers` layers with `norm`; it shares every other weight."""
    view = copy.copy(backbone)
    # copy.copy shares the dictionary of sub-modules: assigning on the view would change the original
    view._modules = dict(backbone._modules)
    view.layers = nn.ModuleList(list(backbone.layers)[:layers])
    view.norm = norm
    view.config = copy.copy(backbone.config)
    view.config.num_hidden_layers = layers
    return view
