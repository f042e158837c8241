"""The image encoder on a tiny random model; the embedded one where a test is marked so."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest
import torch

from recommender import assets
from recommender.encoders.image import ImageEncoder
from recommender.encoders.text import TextEncoder
from recommender.errors import AssetError, ConfigError
from tests.media_files import picture


def test_image_tower_equals_a_direct_call(image_folder, tmp_path):
    for number in range(3):
        picture(number).save(tmp_path / f"{number}.png")
    encoder = ImageEncoder(str(image_folder))
    found = encoder.encode([encoder.prepare(tmp_path / f"{number}.png") for number in range(3)])
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{image_folder}")
    with torch.no_grad():
        expected = model.eval().encode_image(torch.stack([preprocess(picture(n)) for n in range(3)]), normalize=True)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(found[:1], encoder.encode([encoder.prepare(picture(0))]), atol=1e-5)
    assert ImageEncoder(f"local-dir:{image_folder}").identity == encoder.identity


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ViT-B-33:openai", "ViT-B-32"),
        ("ViT-B-32:laion", "laion2b_s34b_b79k"),
        ("nothing like it", "architecture:weights"),
    ],
)
def test_a_wrong_image_model_is_named_with_a_hint(name, said):
    with pytest.raises(ConfigError, match="encoders.image") as error:
        ImageEncoder(name).load()
    assert said in error.value.hint


def test_a_published_architecture_takes_a_file_of_weights(tmp_path):
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-S-32-alt")
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    encoder = ImageEncoder(f"ViT-S-32-alt:{tmp_path / 'weights.pt'}")
    prepared = encoder.prepare(picture(0))
    with torch.no_grad():
        expected = model.eval().encode_image(prepared[None], normalize=True).numpy()
    np.testing.assert_allclose(encoder.encode([prepared]), expected, atol=1e-5)


@pytest.mark.parametrize("kind", [TextEncoder, ImageEncoder])
def test_a_folder_without_a_model_is_one_clear_line(tmp_path, kind):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(AssetError) as error:
        kind(str(tmp_path)).load()
    assert str(tmp_path) in error.value.message and "\n" not in error.value.message and error.value.hint


@pytest.mark.assets
def test_embedded_image_tower_equals_a_direct_call():
    encoder = ImageEncoder("efficientnet-lite0")
    prepared = [encoder.prepare(picture(number)) for number in range(2)]
    folder = assets.fetch("efficientnet-lite0")
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    with torch.no_grad():
        expected = model.eval().encode_image(torch.stack([preprocess(picture(n)) for n in range(2)]), normalize=True)
    found = encoder.encode(prepared)
    assert found.shape == (2, 1280)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
