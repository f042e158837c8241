"""The trained weights of a checkpoint as its file has them: types and shapes are checked before a model is built."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from recommender.adapters.lora import adapted_shapes
from recommender.adapters.projectors import HIDDEN_WIDTH
from recommender.config import Config
from recommender.encoders.features import Features
from recommender.errors import CheckpointError, shown
from recommender.semantic_ids.codes import SemanticIds
from recommender.strict.tensor_files import AGAIN, check_shapes, check_types, read_header


def check_adapter_types(path: Path) -> None:
    """Raise CheckpointError for a file of weights that cannot be read, or that are no floats."""
    check_types(path, read_header(path))


def check_adapter_fits(path: Path, llm: Any, ids: SemanticIds, features: Features, config: Config) -> None:
    """Raise CheckpointError unless a file holds the weights that a model of these parts would have.

    Only its header is read, and nothing is allocated: codes, config and base may claim any sizes.
    """
    hidden = int(llm.get_input_embeddings().weight.shape[1])
    tokens = config.prompt.soft_tokens
    expected: dict[str, tuple[int, ...]] = {"rows": (sum(map(int, ids.sizes)), hidden)}
    for modality, vectors in features.vectors.items():
        parts = features.parts(modality)
        expected[f"projectors.{modality}.enter.weight"] = (HIDDEN_WIDTH, vectors.shape[1] // parts)
        expected[f"projectors.{modality}.leave.weight"] = (tokens * hidden, HIDDEN_WIDTH)
        expected[f"projectors.{modality}.null"] = (parts * tokens, hidden)
    expected |= adapted_shapes(llm, config.lora, config.base.rank_layers)
    check_shapes(path, read_header(path), expected)


def read_adapter(path: Path) -> dict[str, Tensor]:
    """Return the weights of a file by name. Raises CheckpointError for those that are no floats, or not finite."""
    check_adapter_types(path)
    saved = load_file(path)
    check_finite(path, saved)
    return saved


def check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError naming the first tensor with a NaN or an infinity."""
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{path}: the tensor {shown(name, 120)} holds numbers that are not finite", AGAIN)
