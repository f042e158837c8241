"""The ranking base of a folder for vLLM in 8 bits: the matrices of its layers as integers, in the format compressed-tensors.

vLLM multiplies such matrices by inputs that it rounds likewise, a scale for each output row and for each position (W8A8); on
a CPU by oneDNN. LoRA, embeddings, soft tokens and the trie stay in floating point.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from recommender.errors import ConfigError

_LARGEST = 127
_OF_LAYERS = re.compile(r"model\.layers\.\d+\..*\.weight")


def round_matrices(folder: Path) -> int:
    """Round the matrices of the layers of a transformers folder, in place; returns the bytes that its weights take then.

    Raises ConfigError for a base whose weights lie in several files, or that has no plain matrices in its layers.
    """
    path = folder / "model.safetensors"
    if not path.is_file():
        raise ConfigError("a base of several files of weights cannot be exported in 8 bits", "export it with --bits 16")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    saved, tensors = load_file(path), dict[str, Tensor]()
    for name, weight in saved.items():
        if weight.dim() == 2 and weight.is_floating_point() and _OF_LAYERS.fullmatch(name):
            tensors[name], tensors[f"{name}_scale"] = rounded(weight)
        else:
            tensors[name] = weight
    if len(tensors) == len(saved):
        raise ConfigError("the layers of this base have no matrices of their own to round", "export it with --bits 16")
    save_file(tensors, path, metadata)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["quantization_config"] = _described()
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return path.stat().st_size


def rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return a matrix [outputs, inputs] as int8, and the scale of each of its rows [outputs, 1], float32."""
    exact = weight.float()
    scale = exact.abs().amax(1, keepdim=True).clamp_min(1e-12) / _LARGEST
    return (exact / scale).round().to(torch.int8), scale


def _described() -> dict[str, Any]:
    """Return what vLLM reads of how the weights were rounded."""
    integers = {"num_bits": 8, "type": "int", "symmetric": True}
    group = {
        "targets": ["Linear"],
        "weights": integers | {"strategy": "channel", "dynamic": False},
        "input_activations": integers | {"strategy": "token", "dynamic": True},
    }
    return {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
    }
