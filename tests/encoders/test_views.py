"""Views of pictures and sounds: functions of content and number, encoded, cached and reduced like the plain ones."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from recommender.config import Config, EncodersConfig
from recommender.data.catalogue import Catalogue, Item
from recommender.encoders import views
from recommender.encoders.audio import SAMPLE_RATE, AudioEncoder
from recommender.encoders.image import ImageEncoder
from recommender.encoders.pipeline import encode_catalogue, encode_views, fit_reductions, reduce
from recommender.encoders.views import picture_view, sound_view
from recommender.errors import ConfigError, DataError
from tests.media_files import picture, sound


@pytest.fixture
def config(text_folder, image_folder, audio_file, tmp_path) -> EncodersConfig:
    names = {"text": str(text_folder), "image": str(image_folder), "audio": str(audio_file)}
    return EncodersConfig(**names, cache=str(tmp_path / "cache"), batch_size=2, width=3, views=2)


@pytest.fixture
def catalogue(tmp_path) -> Catalogue:
    """Five items; 3 has no image, 4 no sound, the image of 2 is a copy of that of 0."""
    items = []
    for number in range(5):
        image, audio = tmp_path / f"{number}.png", tmp_path / f"{number}.wav"
        picture(number).save(image)
        soundfile.write(audio, sound(0.4 + 0.1 * number, seed=number), SAMPLE_RATE)
        items.append(Item(str(number), "red night", "", image if number != 3 else None, audio if number != 4 else None))
    shutil.copy(tmp_path / "0.png", tmp_path / "2.png")
    return Catalogue(items)


def features_of(catalogue, config):
    raw = encode_catalogue(catalogue, config)
    return reduce(raw, fit_reductions(raw, config.width))


def kept(config) -> list[tuple[str, int]]:
    with sqlite3.connect(Path(config.cache) / "encodings.sqlite") as connection:
        return connection.execute("select encoder, count(*) from encodings group by encoder").fetchall()


# --- single views


def gradient(width: int = 60, height: int = 40) -> np.ndarray:
    """A picture whose red says how far to the right a pixel stands, and whose green how far down."""
    across, down = np.meshgrid(np.linspace(40, 200, width), np.linspace(40, 200, height))
    return np.stack([across, down, np.full_like(across, 120)], -1).astype(np.uint8)


def test_a_view_follows_from_content_and_number_alone():
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    one, two = picture_view(picture(0), 1), sound_view(sound(0.5), 1)
    assert torch.equal(torch.get_rng_state(), states[0]) and (np.random.get_state()[1] == states[1]).all()
    torch.manual_seed(99)
    assert one.tobytes() == picture_view(picture(0), 1).tobytes() != picture_view(picture(0), 2).tobytes()
    assert np.array_equal(two, sound_view(sound(0.5), 1)) and not np.array_equal(two, sound_view(sound(0.5), 2))


def test_another_content_draws_anew():
    """Two pictures with the same view number are not cut alike."""
    cuts = {views._crop(40, 60, views._generator(content, 1)) for content in (b"a", b"b", b"c")}
    assert len(cuts) == 3


def test_pictures_are_cut_flipped_and_coloured():
    whole = gradient()
    seen = [np.asarray(picture_view(Image.fromarray(whole), n)).astype(float) for n in range(1, 41)]
    assert {view.shape for view in seen} == {whole.shape}
    rises = np.array([view[:, -1, 0].mean() > view[:, 0, 0].mean() for view in seen])
    assert 8 < rises.sum() < 32  # flipped or not
    assert all(view[-1, :, 1].mean() > view[0, :, 1].mean() for view in seen)  # never upside down
    spans = np.array([abs(view[:, -1, 0].mean() - view[:, 0, 0].mean()) for view in seen])
    assert spans.min() < 0.85 * 160  # a part of it fills the view
    assert np.ptp([view.mean() for view in seen]) > 10  # brighter and darker
    assert all(abs(view.mean() - whole.mean()) < 50 for view in seen)


def test_a_crop_of_a_picture_lies_within_it():
    for number in range(200):
        top, left, height, width = views._crop(40, 60, views._generator(b"", number))
        assert 0 <= top <= 40 - height and 0 <= left <= 60 - width
        assert 0.59 < height * width / 2400 <= 1 and 0.78 < height / width * 1.5 < 1.28


def test_sounds_are_moved_stretched_louder_and_noisy():
    plain = sound(1.0)
    heard = [sound_view(plain, number) for number in range(1, 41)]
    lengths = np.array([len(view) for view in heard]) / len(plain)
    assert 0.84 < lengths.min() < 0.97 and 1.03 < lengths.max() < 1.16
    loudness = 20 * np.log10([np.sqrt((view**2).mean() / (plain**2).mean()) for view in heard])
    assert -7 < loudness.min() < -3 and 3 < loudness.max() < 7
    assert all(view.dtype == np.float32 and np.isfinite(view).all() for view in heard)
    silences = [np.abs(view[:160]).max() / np.abs(view).max() for view in heard]
    assert 0 < min(silences) < 0.1 < max(silences)  # some begin with silence that is not quite silent


@pytest.mark.parametrize("samples", [1, 9, 16_000])
def test_a_silent_or_tiny_sound_has_views_too(samples):
    view = sound_view(np.zeros(samples, np.float32), 1)
    assert len(view) and not view.any()


def test_a_tiny_picture_has_views_too():
    assert picture_view(Image.new("RGB", (1, 2)), 1).size == (1, 2)


# --- views of a catalogue


def test_views_stand_behind_the_plain_vectors_and_absent_media_have_none(catalogue, config):
    features = features_of(catalogue, config)
    found = encode_views(catalogue, config, features)
    assert {m: table.shape for m, table in found.items()} == {"image": (3, 5, 3), "audio": (3, 5, 3)}
    for modality, absent in (("image", 3), ("audio", 4)):
        table = found[modality]
        assert np.array_equal(table[0], features.vectors[modality])
        assert not table[:, absent].any()
        for item in set(range(5)) - {absent}:
            assert all(np.abs(a - b).max() > 1e-3 for a, b in ((table[0], table[1]), (table[1], table[2]))), item
        assert np.array_equal(table, table.astype(np.float16).astype(np.float32))
    assert np.array_equal(found["image"][:, 0], found["image"][:, 2])  # one content, one view


def test_a_view_is_what_the_encoder_says_of_it_reduced_by_the_plain_vectors_reduction(catalogue, config):
    features = features_of(catalogue, config)
    found = encode_views(catalogue, config, features)
    image, audio = ImageEncoder(config.image), AudioEncoder(config.audio)
    for number in (1, 2):
        samples = soundfile.read(catalogue[1].audio, dtype="float32")[0]
        raw = {
            "image": image.encode([image.prepare(picture_view(picture(1), number))]),
            "audio": audio.encode([audio.prepare(sound_view(samples, number))]),
        }
        for modality, vectors in raw.items():
            expected = features.reductions[modality].apply(vectors)[0]
            np.testing.assert_allclose(found[modality][number, 1], expected, atol=0.02)


def test_without_views_nothing_is_encoded(catalogue, config):
    features = features_of(catalogue, config)
    before = kept(config)
    assert encode_views(catalogue, config.model_copy(update={"views": 0}), features) == {}
    assert kept(config) == before and len(before) == 3


def test_views_are_kept_by_number_and_version(catalogue, config, monkeypatch):
    features = features_of(catalogue, config)
    first = encode_views(catalogue, config, features)
    assert sum(count for name, count in kept(config) if "view-1-" in name) == 2 * (3 + 4)
    with monkeypatch.context() as patch:
        for kind in (ImageEncoder, AudioEncoder):
            patch.setattr(kind, "_build", lambda self: pytest.fail("a model was loaded"))
        second = encode_views(catalogue, config, features)
    assert all(np.array_equal(first[m], second[m]) for m in first)
    more: list[str] = []
    encode_views(catalogue, config.model_copy(update={"views": 3}), features, lambda what, *_: more.append(what))
    assert "encoding image, view 3" in more and len(kept(config)) == 3 + 2 * 3
    monkeypatch.setattr("recommender.encoders.pipeline.VERSION", 2)
    encode_views(catalogue, config, features)
    assert len(kept(config)) == 3 + 2 * 3 + 2 * 2
    assert np.array_equal(features_of(catalogue, config).vectors["image"], features.vectors["image"])


def test_an_encoder_that_is_off_has_no_views(catalogue, config):
    unavailable_reason = config.model_copy(update={"audio": None})
    assert set(encode_views(catalogue, unavailable_reason, features_of(catalogue, unavailable_reason))) == {"image"}


def test_a_broken_picture_is_named_with_its_item(catalogue, config):
    features = features_of(catalogue, config)
    catalogue[1].image.write_bytes(b"no picture")
    with pytest.raises(DataError, match="item '1'"):
        encode_views(catalogue, config, features)


def test_a_negative_number_of_views_is_refused():
    with pytest.raises(ConfigError, match="encoders.views"):
        Config.parse({"encoders": {"views": -1}})
