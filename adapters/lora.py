"""LoRA through peft: adapters for ranking and for listening in the first layers, one for writing in all layers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

# peft imports bitsandbytes, which on some processors warns about a faster kernel that its own wheel lacks
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

import peft  # noqa: E402
from peft import PeftModel  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from transformers import PreTrainedModel  # noqa: E402

from recommender.config import LoraConfig  # noqa: E402
from recommender.errors import ConfigError  # noqa: E402

RANK, EXPLAIN, CONVERSE = "rank", "explain", "converse"
#: what peft puts before the names of a base's modules
_WRAPPED = "base_model.model."
WRITING_TARGETS = ("q_proj", "v_proj")
AUTO = "auto"
#: matrices that choose experts: a small change of them changes which expert reads a word
ROUTERS = ("gate", "router", "shared_expert_gate")


def add_adapters(llm: PreTrainedModel, config: LoraConfig, rank_layers: int) -> PeftModel:
    """Wrap `llm` with the two LoRA adapters; `rank` is active, and in the first `rank_layers` layers only.

    Raises ConfigError if the base model has no layers with the configured names, or none as large as the rank.
    """
    _check_rank(llm, config)
    ranking = _first_layers(llm, config, rank_layers, config.lora_dropout)
    writing = peft.LoraConfig(
        r=_writing_rank(config),
        lora_alpha=max(config.lora_alpha // 2, 1),
        lora_dropout=config.lora_dropout,
        target_modules=_writing_targets(llm, config),
        task_type="CAUSAL_LM",
    )
    try:
        model = peft.get_peft_model(llm, ranking, adapter_name=RANK)
        model.add_adapter(EXPLAIN, writing)
    except ValueError as error:  # raised by peft for names that the model does not have
        raise ConfigError(
            f"lora.target_modules: {', '.join(targets(llm, config))} are not in the base model ({error})",
            "lora.target_modules: auto finds those that it has",
        ) from None
    model.set_adapter(RANK)
    return model


def add_listening_adapter(model: PeftModel, config: LoraConfig, layers: int) -> None:
    """Add the adapter that listens, in the first `layers` layers; which one is active stays."""
    # no dropout: no conversation that it learns from comes twice
    model.add_adapter(CONVERSE, _first_layers(model, config, layers, dropout=0.0))


def targets(llm: nn.Module, config: LoraConfig) -> list[str]:
    """Return the names of the matrices that get LoRA: those of the config, or all that the layers of a base have.

    Experts that are kept as one tensor, as in most mixtures, are no matrices of their own and stay as they are.
    """
    if config.target_modules != AUTO:
        return list(config.target_modules)
    return list(dict.fromkeys(name.rpartition(".")[2] for name, _, _ in _matrices(llm)))


def _first_layers(llm: nn.Module, config: LoraConfig, layers: int, dropout: float) -> peft.LoraConfig:
    return peft.LoraConfig(
        r=config.r,
        lora_alpha=config.lora_alpha,
        lora_dropout=dropout,
        target_modules=targets(llm, config),
        layers_to_transform=list(range(layers)),
        task_type="CAUSAL_LM",
    )


def listening_shapes(llm: PreTrainedModel, config: LoraConfig, layers: int) -> dict[str, tuple[int, int]]:
    """Return the shapes of the matrices that `add_listening_adapter` would add, under the names of a checkpoint."""
    return _shapes(llm, CONVERSE, config.r, targets(llm, config), layers)


def adapted_shapes(llm: PreTrainedModel, config: LoraConfig, rank_layers: int) -> dict[str, tuple[int, int]]:
    """Return the shapes of the matrices that `add_adapters` would add, under the names that a checkpoint has for them."""
    ranking = _shapes(llm, RANK, config.r, targets(llm, config), rank_layers)
    return ranking | _shapes(llm, EXPLAIN, _writing_rank(config), _writing_targets(llm, config), None)


def _shapes(
    llm: PreTrainedModel, adapter: str, rank: int, targets: Sequence[str], layers: int | None
) -> dict[str, tuple[int, int]]:
    """Return the shapes of one adapter's matrices in the first `layers`, None for all."""
    shapes = {}
    for name, inputs, outputs in _matrices(llm):
        layer, target = int(name.split(".")[2]), name.rpartition(".")[2]
        if target in targets and (layers is None or layer < layers):
            shapes[f"{name}.lora_A.{adapter}.weight"] = (rank, inputs)
            shapes[f"{name}.lora_B.{adapter}.weight"] = (outputs, rank)
    return shapes


def _matrices(llm: nn.Module) -> Iterator[tuple[str, int, int]]:
    """Yield name, inputs and outputs of each matrix in the layers of the base model."""
    for path, module in llm.named_modules():
        name = path.removeprefix(_WRAPPED)
        if not name.startswith("model.layers.") or ".lora_" in name or name.endswith(".base_layer"):
            continue
        if isinstance(getattr(module, "in_features", None), int) and name.rpartition(".")[2] not in ROUTERS:
            yield name, int(module.in_features), int(module.out_features)


def _writing_rank(config: LoraConfig) -> int:
    return max(config.r // 2, 1)


def _writing_targets(llm: nn.Module, config: LoraConfig) -> list[str]:
    found = targets(llm, config)
    return [name for name in found if name in WRITING_TARGETS] or found


def _check_rank(llm: PreTrainedModel, config: LoraConfig) -> None:
    """Raise ConfigError for a rank that no matrix has: it says no more than the whole matrix, and takes any memory."""
    largest = max((min(inputs, outputs) for _, inputs, outputs in _matrices(llm)), default=config.r)
    if config.r > largest:
        raise ConfigError(
            f"lora.r is {config.r}, but the matrices of the base model have a rank of at most {largest}",
            f"set lora.r to {largest} or less",
        )


def is_trained(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether an adapter, given by its tensors, changes anything: the second matrix of each pair begins as zero."""
    return any(bool(tensor.any()) for name, tensor in tensors.items() if "lora_B" in name)
