"""LoRA through peft: one adapter for ranking in the first layers, one for writing in all layers."""

from __future__ import annotations

import logging
from collections.abc import Mapping

# peft imports bitsandbytes, which on some processors warns about a faster kernel that its own wheel lacks
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

import peft  # noqa: E402
from peft import PeftModel  # noqa: E402
from torch import Tensor  # noqa: E402
from transformers import PreTrainedModel  # noqa: E402

from recommender.config import LoraConfig  # noqa: E402
from recommender.errors import ConfigError  # noqa: E402

RANK, EXPLAIN = "rank", "explain"
WRITING_TARGETS = ("q_proj", "v_proj")


def add_adapters(llm: PreTrainedModel, config: LoraConfig, rank_layers: int) -> PeftModel:
    """Wrap `llm` with the two LoRA adapters; `rank` is active, and in the first `rank_layers` layers only.

    Raises ConfigError if the base model has no layers with the configured names.
    """
    ranking = peft.LoraConfig(
        r=config.r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(config.target_modules),
        layers_to_transform=list(range(rank_layers)),
        task_type="CAUSAL_LM",
    )
    writing = peft.LoraConfig(
        r=max(config.r // 2, 1),
        lora_alpha=max(config.lora_alpha // 2, 1),
        lora_dropout=config.lora_dropout,
        target_modules=[name for name in config.target_modules if name in WRITING_TARGETS]
        or list(config.target_modules),
        task_type="CAUSAL_LM",
    )
    try:
        model = peft.get_peft_model(llm, ranking, adapter_name=RANK)
        model.add_adapter(EXPLAIN, writing)
    except ValueError as error:  # raised by peft for names that the model does not have
        raise ConfigError(
            f"lora.target_modules: {', '.join(config.target_modules)} are not in the base model ({error})"
        ) from None
    model.set_adapter(RANK)
    return model


def is_trained(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether an adapter, given by its tensors, changes anything: the second matrix of each pair begins as zero."""
    return any(bool(tensor.any()) for name, tensor in tensors.items() if "lora_B" in name)
