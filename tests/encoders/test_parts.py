"""Media in parts: what is cut, that each part is encoded as a medium of its own, and that vectors stay in order."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from recommender.config import EncodersConfig
from recommender.encoders.features import Features
from recommender.encoders.image import ImageEncoder
from recommender.encoders.parts import InParts, in_parts, regions, spans, whole
from recommender.encoders.pipeline import Encoders, RawFeatures, fit_reductions, reduce
from recommender.encoders.reduction import Reduction
from recommender.errors import ConfigError


class Louder:
    """An encoder of sounds: their mean and their length."""

    identity = "louder"

    def load(self):
        pass

    def prepare(self, source):
        return source

    def encode(self, batch):
        return np.array([[sound.mean(), len(sound)] for sound in batch], np.float32)


def test_a_sound_is_cut_into_spans_that_are_encoded_by_themselves():
    encoder = in_parts(Louder(), "audio", 3)
    sound = np.repeat(np.float32([1, 2, 3]), 500)
    assert encoder.encode([encoder.prepare(sound)]).tolist() == [[1, 500, 2, 500, 3, 500]]
    assert encoder.identity != Louder.identity and isinstance(encoder, InParts)
    assert in_parts(encoder.encoder, "audio", 1) is encoder.encoder is whole(encoder)


def test_a_short_sound_is_repeated_so_that_no_span_is_empty():
    cut = spans(np.float32([1, 2]), 4)
    assert len(cut) == 4 and min(map(len, cut)) >= 400 and set(np.concatenate(cut)) == {1, 2}


@pytest.mark.parametrize(("parts", "rows", "columns"), [(2, 2, 1), (4, 2, 2), (6, 3, 2), (7, 7, 1)])
def test_a_picture_is_cut_into_a_grid_row_by_row(parts, rows, columns):
    cells = np.arange(parts, dtype=np.uint8).reshape(rows, columns).repeat(11, 0).repeat(13, 1)
    found = regions(Image.fromarray(cells).convert("RGB"), parts)
    assert [set(np.asarray(cell).ravel().tolist()) for cell in found] == [{number} for number in range(parts)]
    assert len(regions(Image.new("RGB", (1, 1)), parts)) == parts


def test_regions_are_read_by_the_tower_as_pictures_of_their_own(image_folder):
    config = EncodersConfig(text=None, image=str(image_folder), audio=None, image_parts=4)
    picture = Image.effect_noise((64, 96), 80).convert("RGB")
    found = Encoders.from_config(config).encode_item(image=picture).vectors["image"]
    tower = ImageEncoder(str(image_folder))
    cells = [tower.prepare(cell) for cell in regions(picture, 4)]
    assert found.reshape(4, -1) == pytest.approx(tower.encode(cells), abs=1e-5)


def test_parts_are_reduced_by_one_reduction_and_saved_with_it(tmp_path):
    rows = np.random.default_rng(0).standard_normal((20, 3 * 8)).astype(np.float32)
    there = {"image": np.ones(20, bool)}
    raw = RawFeatures(20, {"image": rows}, there, {"image": "tower parts-1-3"}, parts={"image": 3})
    features = reduce(raw, fit_reductions(raw, 5))
    assert features.vectors["image"].shape == (20, 15) and features.parts("image") == 3
    alone = Reduction.fit(rows.reshape(60, 8), 5)
    assert features.vectors["image"].reshape(60, 5) == pytest.approx(alone.apply(rows.reshape(60, 8)), abs=1e-2)
    features.save(tmp_path / "f.safetensors")
    loaded = Features.load(tmp_path / "f.safetensors")
    assert loaded.parts("image") == 3 and loaded.reductions["image"].apply(rows).shape == (20, 15)
    with pytest.raises(ConfigError, match="expected 24 columns"):
        loaded.reductions["image"].apply(rows[:, :8])


def test_given_vectors_cannot_be_cut():
    with pytest.raises(ValueError, match="image vectors are given, which cannot be cut"):
        EncodersConfig(image={"vectors": "a.npy"}, image_parts=2)
