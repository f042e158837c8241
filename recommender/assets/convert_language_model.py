"""Converts a quantised GGUF file to a transformers folder in bfloat16."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

_INTERNAL = ("quantization_config", "_name_or_path", "_model_name_or_path", "dtype", "architectures")


def convert(source: Path, target: Path) -> None:
    """Write the only .gguf file of `source` to `target`: config, bfloat16 safetensors, tokenizer, chat template."""
    (file,) = source.glob("*.gguf")
    with _quiet():
        unpacked = AutoModelForCausalLM.from_pretrained(source, gguf_file=file.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=file.name)
        # a fresh model: the one read from GGUF remembers that it was quantised and would be saved so
        settings = {key: value for key, value in unpacked.config.to_dict().items() if key not in _INTERNAL}
        model = LlamaForCausalLM(LlamaConfig(**settings))
        model.load_state_dict(unpacked.state_dict())
        model.tie_weights()
        model.generation_config = _greedy(model.config)
        model.bfloat16().save_pretrained(target)
        tokenizer.save_pretrained(target)


def _greedy(config: LlamaConfig) -> GenerationConfig:
    """Text is the same on every run unless the caller asks for sampling."""
    return GenerationConfig(
        do_sample=False,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the libraries' bars and warnings while they read GGUF; one of the bars knows no switch."""
    level = transformers.logging.get_verbosity()
    bars = transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        transformers.logging.set_verbosity(level)
        if bars:
            transformers.logging.enable_progress_bar()
