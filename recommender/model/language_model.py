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
from recommender.model.architecture import missing_part, text_model
from recommender.model.base_check import difference
from recommender.model.devices import loading_device, resolve_device
from recommender.progress import Progress
from recommender.prompting.chat_template import render_chat
from recommender.strict.json_documents import read_json_object
from recommender.strict.tensor_files import read_header

_OTHER_BASE = "use a model of the Llama, Qwen, Mistral, Gemma, Phi-3 or SmolLM kind; docs/base-models.md has a table"


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

    Of a multimodal wrapper it is the language model. Raises AssetError if it cannot be read, ConfigError if it lacks what
    packed rows need, a chat template or enough layers, or if 4-bit weights are configured where there can be none.
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
        llm = text_model(AutoModelForCausalLM.from_pretrained(folder, **options))
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # the libraries raise of many kinds for one broken file
        if config.load_in_4bit and _is_of_quantizer(error):
            raise _no_four_bits(f"{config.device} ({_first_line(error)})") from None
        raise AssetError(
            f"base.llm: {config.llm!r} cannot be loaded ({_first_line(error)})", "name a causal language model"
        ) from None
    llm.requires_grad_(False)
    _keep_trainable(llm)
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
    if lacking := missing_part(llm):
        raise ConfigError(f"base.llm: {config.llm!r} is a {type(llm).__name__}, which {lacking}", _OTHER_BASE)
    if tokenizer.chat_template is None:
        raise ConfigError(
            f"base.llm: {config.llm!r} has no chat template", "use the instruction-tuned version of the model"
        )
    if tokenizer.eos_token_id is None:
        raise ConfigError(f"base.llm: {config.llm!r} has no token that ends a text", _OTHER_BASE)
    render_chat(tokenizer, [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}])
    if config.rank_layers > len(llm.model.layers):
        raise ConfigError(
            f"base.rank_layers is {config.rank_layers}, but {config.llm} has {len(llm.model.layers)} layers",
            f"set base.rank_layers to {len(llm.model.layers)} or less",
        )
    # the embedded base is pinned, and tested
    if not assets.is_embedded(config.llm) and (lost := difference(llm)):
        raise ConfigError(
            f"base.llm: {config.llm!r} is a {type(llm).__name__} that cannot be used: {lost}", _OTHER_BASE
        )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def _is_of_quantizer(error: Exception) -> bool:
    """Whether an error was raised by what quantises, and not by the base's files."""
    trace = error.__traceback__
    while trace is not None:
        if "quantizer" in trace.tb_frame.f_code.co_filename or "bitsandbytes" in trace.tb_frame.f_code.co_filename:
            return True
        trace = trace.tb_next
    return False


def _no_four_bits(where: str) -> ConfigError:
    return ConfigError(
        f"base.load_in_4bit: bitsandbytes cannot be used on {where}",
        "set base.load_in_4bit: false, or take another device",
    )


def _keep_trainable(llm: Any) -> None:
    """Let 4-bit matrices on a CPU stay as they are when they are read without gradients.

    Where a processor multiplies bfloat16, bitsandbytes would lay them out for inference for good; gradients are lost in that
    layout, and training reads without gradients, too: for validation, and before its first step.
    """
    for module in llm.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _four_bit(dtype: torch.dtype) -> object:
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise ConfigError(
            "base.load_in_4bit needs bitsandbytes, which is not installed", "pip install 'recommender[quantized]'"
        ) from None
    except Exception as error:  # it looks for the libraries of a device as it is imported
        raise _no_four_bits(f"this machine ({_first_line(error)})") from None
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
