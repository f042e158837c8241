"""The image tower: conversion against timm's own network, and photographs it recognises."""

from __future__ import annotations

import pytest

from recommender import assets


def test_image_conversion_computes_what_timm_does(tmp_path):
    """Weights under other names in the same order: the embedding and the logits are those of timm's network."""
    import open_clip
    import timm
    import torch
    from safetensors.torch import load_file

    from recommender.assets import convert_image

    torch.manual_seed(1)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    for name, tensor in network.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            tensor.uniform_(0.1, 0.5)
    renamed = {
        f"layer{i}.{name.split('.')[-1]}": tensor for i, (name, tensor) in enumerate(network.state_dict().items())
    }
    torch.save(renamed, tmp_path / "weights.pth")
    target = tmp_path / "made"
    target.mkdir()
    convert_image.convert(tmp_path, target)
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{target}")
    head = load_file(target / "classifier.safetensors")
    pixels = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        found = model.eval().encode_image(pixels)
        wanted = network.forward_head(network.forward_features(pixels), pre_logits=True)
        logits = network(pixels)
    assert found.shape == (2, 1280)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(found @ head["weight"].T + head["bias"], logits)
    with pytest.raises(ValueError, match="is not conv_stem.weight"):
        convert_image.by_order(dict(reversed(renamed.items())), network)


@pytest.mark.assets
def test_image_tower_recognises_photographs():
    import open_clip
    import torch
    from PIL import Image
    from safetensors.torch import load_file
    from sklearn.datasets import load_sample_image

    folder = assets.fetch("efficientnet-lite0")
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    head = load_file(folder / "classifier.safetensors")
    photographs = [preprocess(Image.fromarray(load_sample_image(name))) for name in ("china.jpg", "flower.jpg")]
    with torch.inference_mode():
        features = model.eval().encode_image(torch.stack(photographs))
    classes = (features @ head["weight"].T + head["bias"]).argmax(dim=-1).tolist()
    assert classes == [698, 985], "palace, daisy"
