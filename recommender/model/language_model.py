"""Loads the base language model and its tokenizer, in a precision that this machine computes fast."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from recommender import assets
from recommender.config import BaseConfig
from recommender.errors import AssetError, CheckpointError, ConfigError, shown
from recommender.model import block_attention
from recommender.model.devices import loading_device, resolve_device
from recommender.progress import Progress
from recommender.strict.json_documents import read_json_object
from recommender.strict.tensor_files import read_header


def resolve_dtype(name: str, device: torch.device | None = None) -> torch.dtype:
    """Return the torch type of `auto`, `float32` or `bfloat16` on a device, by default the CPU.

    `auto` is bfloat16 where the hardware multiplies it natively. A processor without those instructions emulates
    them: measured 7 times slower forward and 35 times slower backward than float32.
    """
    if name != "auto":
        return torch.float32 if name == "float32" else torch.bfloat16
    if device is not None and device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def load_llm(config: BaseConfig, progress: Progress | None = None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the base model, frozen, and its tokenizer.

    Raises AssetError if it cannot be read, ConfigError if it lacks decoder layers, a chat template or enough layers, or
    if 4-bit weights are configured without bitsandbytes.
    """
    folder = assets.fetch(config.llm, progress)
    device = loading_device(config.device)
    dtype = resolve_dtype(config.dtype, resolve_device(config.device))
    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": block_attention.NAME}
    if device.type == "cuda":  # straight onto this process's own: by itself a library would take the first one
        options["device_map"] = {"": device}
    if config.load_in_4bit:
        options["quantization_config"] = _four_bit(dtype)
    transformers_logging.disable_progress_bar()
    _check_claims(config.llm, folder)
    try:
        llm = AutoModelForCausalLM.from_pretrained(folder, **options)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # the libraries raise of many kinds for one broken file
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
        raise AssetError(
            f"base.llm: {config.llm!r} cannot be loaded ({reason})", "name a causal language model"
        ) from None
    llm.requires_grad_(False)
    _check_base(config, llm, tokenizer)
    return llm if config.load_in_4bit else llm.to(device), tokenizer


def _check_claims(name: str, folder: Path) -> None:
    """Raise AssetError if the config of a base claims other sizes than its weights have, before memory is taken for them.

    Asked are those whose names nearly all families share; of weights in other files than safetensors nothing.
    """
    what = "config of a causal language model"
    claims = read_json_object(folder / "config.json", what, "name a causal language model", AssetError)
    try:
        headers = [read_header(path) for path in sorted(folder.glob("model*.safetensors"))]
    except CheckpointError as error:
        raise AssetError(f"base.llm: {error.message}", "copy the base model again, whole") from None
    weights = {tensor: facts for header in headers for tensor, facts in header.items()}
    words = weights.get("model.embed_tokens.weight")
    if words is None or len(words.shape) != 2:
        return
    layers = {tensor.split(".")[2] for tensor in weights if tensor.startswith("model.layers.")}
    held = {"vocab_size": words.shape[0], "hidden_size": words.shape[1], "num_hidden_layers": len(layers)}
    for key, size in held.items():
        if key in claims and claims[key] != size:
            message = f"base.llm: {name!r} has {key} {shown(claims[key])} in config.json, its weights {size}"
            raise AssetError(message, "copy the base model again, whole")


def _check_base(config: BaseConfig, llm: Any, tokenizer: Any) -> None:
    backbone = getattr(llm, "model", None)
    if not (hasattr(backbone, "layers") and hasattr(backbone, "norm")):
        raise ConfigError(
            f"base.llm: {config.llm!r} is a {type(llm).__name__}, whose decoder layers are not in model.layers",
            "use a model of the Llama, Qwen, Mistral, Gemma or SmolLM kind",
        )
    if tokenizer.chat_template is None:
        raise ConfigError(
            f"base.llm: {config.llm!r} has no chat template", "use the instruction-tuned version of the model"
        )
    if config.rank_layers > len(llm.model.layers):
        raise ConfigError(
            f"base.rank_layers is {config.rank_layers}, but {config.llm} has {len(llm.model.layers)} layers",
            f"set base.rank_layers to {len(llm.model.layers)} or less",
        )


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
