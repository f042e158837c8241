"""Converts ImageNet weights to a folder that open_clip loads as `local-dir:...`, with a timm model as image tower."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import open_clip
import timm
import torch
from safetensors.torch import save_file
from torch import nn

_TIMM_NAME = "tf_efficientnet_lite0"
# open_clip has no image tower without a text tower: this one is as small as it allows, seeded and never used
_TEXT = {"context_length": 1, "vocab_size": 2, "width": 1, "heads": 1, "layers": 1}


def convert(source: Path, target: Path) -> None:
    """Write an open_clip folder and the ImageNet classifier from the only .pth file of `source`.

    model.encode_image(x [n, 3, 224, 224]) gives the tower's pooled features [n, 1280]. classifier.safetensors holds
    `weight` [1000, 1280] and `bias` [1000], which turn them into ImageNet's logits; the encoders do not read it.
    """
    (file,) = source.glob("*.pth")
    trained = torch.load(file, map_location="cpu", weights_only=True)
    network = timm.create_model(_TIMM_NAME, pretrained=False)
    network.load_state_dict(by_order(trained, network))
    head = {name: tensor.clone() for name, tensor in network.get_submodule("classifier").state_dict().items()}
    open_clip_folder(target, network, _TIMM_NAME)
    save_file(head, target / "classifier.safetensors")


def by_order(trained: dict[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """Give `trained` the names of `network`: both list the same layers in the same order, under other names.

    Raises ValueError at the first parameter whose shape differs. Counters of seen batches have no effect on what
    is computed and may be missing.
    """
    expected = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("batches_tracked")}
    source = {name: tensor for name, tensor in trained.items() if not name.endswith("batches_tracked")}
    if len(expected) != len(source):
        raise ValueError(f"expected {len(expected)} parameters, found {len(source)}")
    named = dict(network.state_dict())
    for (ours, like), (theirs, tensor) in zip(expected.items(), source.items(), strict=True):
        if like.shape != tensor.shape or ours.split(".")[-1] != theirs.split(".")[-1]:
            raise ValueError(f"{theirs} {list(tensor.shape)} is not {ours} {list(like.shape)}")
        named[ours] = tensor
    return named


def open_clip_folder(target: Path, network: nn.Module, timm_name: str) -> None:
    """Write `network`, a timm model with weights, to `target` in open_clip's `local-dir:` layout.

    The classifier is left out: the image embedding is what timm's pooling gives (timm's `num_features` values).
    Sizes, mean, std and interpolation are those that timm states for the model.
    """
    config = {"model_cfg": _model_config(network, timm_name), "preprocess_cfg": _preprocessing(network)}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.CustomTextCLIP(**config["model_cfg"])
    trunk = {name: t for name, t in network.state_dict().items() if name in model.visual.trunk.state_dict()}
    model.visual.trunk.load_state_dict(trunk)
    save_file(model.state_dict(), target / "open_clip_model.safetensors")
    # not in the constructor's signature: open_clip takes it out before it builds the model
    config["model_cfg"]["custom_text"] = True
    (target / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _model_config(network: nn.Module, timm_name: str) -> dict[str, Any]:
    vision = {
        "timm_model_name": timm_name,
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "none",
        "image_size": _stated(network)["input_size"][-1],
    }
    return {"embed_dim": network.num_features, "vision_cfg": vision, "text_cfg": dict(_TEXT)}


def _preprocessing(network: nn.Module) -> dict[str, Any]:
    stated = _stated(network)
    return {
        "size": stated["input_size"][-1],
        "mean": list(stated["mean"]),
        "std": list(stated["std"]),
        "interpolation": stated["interpolation"],
        "resize_mode": "shortest",
    }


def _stated(network: nn.Module) -> dict[str, Any]:
    """What timm states about the data that a model was trained on."""
    return cast("dict[str, Any]", network.pretrained_cfg)
