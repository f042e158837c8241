"""From a catalogue to matrices through tiny random encoders: gaps, caching, broken media, transcripts."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recommender.config import EncodersConfig
from recommender.data.catalogue import Catalogue, Item
from recommender.encoders import cached_batches
from recommender.encoders.audio import SAMPLE_RATE, AudioEncoder
from recommender.encoders.image import ImageEncoder
from recommender.encoders.knowledge import KnowledgeEncoder
from recommender.encoders.pipeline import Encoders, encode_catalogue, fit_reductions, reduce
from recommender.encoders.text import TextEncoder
from recommender.errors import ConfigError, DataError
from tests.conftest import ENCODER_WORDS
from tests.encoders.interrupting import stopped_at
from tests.media_files import picture, sound

ITEMS = 6


@pytest.fixture
def settings_of(text_folder, image_folder, audio_file, tmp_path):
    def make(**changes) -> EncodersConfig:
        names = {"text": str(text_folder), "image": str(image_folder), "audio": str(audio_file)}
        return EncodersConfig(**(names | {"cache": str(tmp_path / "cache"), "batch_size": 2} | changes))

    return make


@pytest.fixture
def catalogue(tmp_path) -> Catalogue:
    """Six items; 4 has no image, 5 no sound, the image of 3 is a copy of that of 0."""
    items = []
    for number in range(ITEMS):
        image, audio = tmp_path / f"{number}.png", tmp_path / f"{number}.wav"
        picture(number).save(image)
        soundfile.write(audio, sound(0.4 + 0.3 * number, seed=number), SAMPLE_RATE)
        title = f"the {ENCODER_WORDS[number]} {ENCODER_WORDS[number + 3]}"
        items.append(Item(str(number), title, "", image if number != 4 else None, audio if number != 5 else None))
    shutil.copy(tmp_path / "0.png", tmp_path / "3.png")
    return Catalogue(items)


def test_a_catalogue_becomes_matrices_with_gaps(catalogue, settings_of):
    raw = encode_catalogue(catalogue, settings_of())
    assert {m: v.shape for m, v in raw.vectors.items()} == {"text": (6, 16), "image": (6, 256), "audio": (6, 16)}
    assert raw.present["image"].tolist() == [True, True, True, True, False, True]
    assert raw.present["audio"].tolist() == [True, True, True, True, True, False]
    assert not raw.vectors["image"][4].any() and not raw.vectors["audio"][5].any()
    assert raw.tallies["text"].items == 6
    image = raw.tallies["image"]
    assert (image.items, image.distinct, image.computed, image.cached) == (5, 4, 4, 0)
    assert np.array_equal(raw.vectors["image"][0], raw.vectors["image"][3])
    features = reduce(raw, fit_reductions(raw, 3))
    assert features.vectors["audio"].shape == (6, 3) and not features.vectors["audio"][5].any()


def test_each_row_is_what_the_encoder_alone_says(catalogue, settings_of):
    raw = encode_catalogue(catalogue, settings_of())
    encoders = Encoders.from_config(settings_of())
    for index in (0, 2):
        item = catalogue[index]
        one = encoders.encode_item(catalogue.document(index), item.image, item.audio)
        for modality, vectors in one.vectors.items():
            np.testing.assert_allclose(vectors[0], raw.vectors[modality][index], atol=1e-4)


def test_a_later_item_is_reduced_like_the_others(catalogue, settings_of):
    raw = encode_catalogue(catalogue, settings_of())
    features = reduce(raw, fit_reductions(raw, 3))
    one = Encoders.from_config(settings_of()).encode_item(catalogue.document(1), picture(1))
    later = reduce(one, features.reductions)
    assert not later.present["audio"][0] and not later.vectors["audio"].any()
    longer = features.append(later)
    for modality in ("text", "image"):
        np.testing.assert_allclose(longer.vectors[modality][6], features.vectors[modality][1], atol=0.01)


def test_a_second_run_needs_no_model(catalogue, settings_of, monkeypatch):
    first = encode_catalogue(catalogue, settings_of())
    assert len(os.listdir(settings_of().cache)) == 1
    for kind in (TextEncoder, ImageEncoder, AudioEncoder):
        monkeypatch.setattr(kind, "_build", lambda self: pytest.fail("a model was loaded"))
    heard: list[tuple[str, int, int]] = []
    second = encode_catalogue(catalogue, settings_of(), lambda *said: heard.append(said))
    assert {tally.computed for tally in second.tallies.values()} == {0}
    assert all(np.array_equal(first.vectors[m], second.vectors[m]) for m in first.vectors)
    assert heard == [("encoding text", 6, 6), ("encoding image", 4, 4), ("encoding audio", 5, 5)]


def test_a_changed_file_is_encoded_again(catalogue, settings_of):
    encode_catalogue(catalogue, settings_of())
    picture(99).save(catalogue[1].image)
    assert encode_catalogue(catalogue, settings_of()).tallies["image"].computed == 1


def test_a_broken_off_run_goes_on_where_it_stopped(catalogue, settings_of):
    with pytest.raises(KeyboardInterrupt):
        encode_catalogue(catalogue, settings_of(), stopped_at("encoding image", 2))
    tallies = encode_catalogue(catalogue, settings_of()).tallies
    assert (tallies["text"].cached, tallies["image"].cached, tallies["audio"].cached) == (6, 2, 0)


def test_an_encoder_that_is_off_leaves_no_trace(catalogue, settings_of):
    raw = encode_catalogue(catalogue, settings_of(image=None))
    assert set(raw.vectors) == set(raw.tallies) == {"text", "audio"}


def test_a_modality_that_no_item_has_is_left_out(catalogue, settings_of):
    bare = Catalogue(Item(item.item_id, item.title, image=item.image) for item in catalogue)
    raw = encode_catalogue(bare, settings_of())
    assert set(raw.vectors) == {"text", "image"} and raw.tallies["audio"].items == 0


@pytest.mark.parametrize(("kind", "content"), [("image", b"no picture"), ("audio", b""), ("audio", b"RIFF....")])
def test_broken_media_are_named_with_their_item(catalogue, settings_of, kind, content):
    path = getattr(catalogue[2], kind)
    path.write_bytes(content)
    with pytest.raises(DataError, match="item '2'") as error:
        encode_catalogue(catalogue, settings_of())
    assert str(path) in error.value.message and error.value.hint and "\n" not in str(error.value)


def test_media_that_vanished_are_named_with_their_item(catalogue, settings_of):
    catalogue[2].image.unlink()
    with pytest.raises(DataError, match="item '2'.*2.png"):
        encode_catalogue(catalogue, settings_of())


def test_an_encoding_that_is_not_finite_is_refused_and_not_kept(catalogue, settings_of, monkeypatch):
    encode = ImageEncoder.encode
    monkeypatch.setattr(ImageEncoder, "encode", lambda self, batch: encode(self, batch) * np.nan)
    with pytest.raises(DataError, match=r"item '\d'.*not finite"):
        encode_catalogue(catalogue, settings_of())
    monkeypatch.undo()
    assert encode_catalogue(catalogue, settings_of()).tallies["image"].cached == 0


def test_large_files_make_small_batches(catalogue, settings_of, monkeypatch):
    sizes: list[int] = []
    encode = AudioEncoder.encode
    monkeypatch.setattr(AudioEncoder, "encode", lambda self, batch: sizes.append(len(batch)) or encode(self, batch))
    monkeypatch.setattr(cached_batches, "_BATCH_BYTES", 40_000)
    encode_catalogue(catalogue, settings_of(batch_size=5))
    assert sizes == [2, 1, 1, 1]


def test_what_is_said_joins_the_text(catalogue, settings_of, monkeypatch):
    monkeypatch.setattr(AudioEncoder, "transcript", lambda self, sound: "love song" if len(sound) < 8000 else "")
    plain, heard = (encode_catalogue(catalogue, settings_of(transcript=on)) for on in (False, True))
    same = np.isclose(plain.vectors["text"], heard.vectors["text"], atol=1e-6).all(axis=1)
    assert same.tolist() == [False, True, True, True, True, True]
    document = f"{catalogue.document(0)} love song"
    one = Encoders.from_config(settings_of(transcript=True)).encode_item(catalogue.document(0), audio=sound(0.4))
    np.testing.assert_allclose(one.vectors["text"][0], heard.vectors["text"][0], atol=1e-5)
    text = TextEncoder(settings_of().text)
    np.testing.assert_allclose(text.encode([document])[0], heard.vectors["text"][0], atol=1e-5)


def test_transcripts_are_kept_too(catalogue, settings_of, monkeypatch):
    calls: list[int] = []
    monkeypatch.setattr(AudioEncoder, "transcript", lambda self, sound: calls.append(1) or "war")
    for _ in range(2):
        encode_catalogue(catalogue, settings_of(transcript=True))
    assert len(calls) == 5


def test_transcripts_need_text_and_audio(settings_of):
    with pytest.raises(ConfigError, match="encoders.transcript"):
        Encoders.from_config(settings_of(transcript=True, audio=None))


def test_an_item_with_nothing_has_no_vectors(settings_of):
    assert Encoders.from_config(settings_of()).encode_item().vectors == {}


def test_the_cache_is_an_ordinary_database(catalogue, settings_of):
    encode_catalogue(catalogue, settings_of())
    with sqlite3.connect(Path(settings_of().cache) / "encodings.sqlite") as connection:
        assert connection.execute("select count(*) from encodings").fetchone() == (15,)


def test_a_language_model_reads_the_titles_alone(catalogue, settings_of, llm_folder):
    settings = settings_of(knowledge=str(llm_folder))
    raw = encode_catalogue(catalogue, settings)
    assert raw.present["knowledge"].all()
    titles = [item.title for item in catalogue]
    np.testing.assert_allclose(raw.vectors["knowledge"], KnowledgeEncoder(str(llm_folder)).encode(titles), atol=1e-4)
    alone = Encoders.from_config(settings).encode_item(title=titles[1])
    np.testing.assert_allclose(alone.vectors["knowledge"][0], raw.vectors["knowledge"][1], atol=1e-4)
