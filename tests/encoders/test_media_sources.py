"""Items with videos through tiny random encoders: frames and tracks in the place of pictures and sounds."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest
import soundfile

from recommender.config import EncodersConfig
from recommender.data.catalogue import Catalogue, Item
from recommender.data.media import content_hash
from recommender.data.video import read_frames, read_sound_track
from recommender.encoders.audio import SAMPLE_RATE, AudioEncoder
from recommender.encoders.image import ImageEncoder
from recommender.encoders.pipeline import Encoders, encode_catalogue
from recommender.errors import DataError, RecommenderError
from tests.data.made_videos import BLUE, RED, cut_in_half, make_video
from tests.encoders.interrupting import stopped_at
from tests.media_files import picture, sound


@pytest.fixture
def settings_of(image_folder, audio_file, tmp_path):
    def make(**changes) -> EncodersConfig:
        names = {"text": None, "image": str(image_folder), "audio": str(audio_file)}
        return EncodersConfig(**(names | {"cache": str(tmp_path / "cache"), "batch_size": 2} | changes))

    return make


@pytest.fixture
def catalogue(tmp_path) -> Catalogue:
    """Items 0 to 4: a video; one without sound; a video beside a picture and a sound; these alone; nothing."""
    picture(0).save(tmp_path / "own.png")
    soundfile.write(tmp_path / "own.wav", sound(0.7), SAMPLE_RATE)
    own = {"image": tmp_path / "own.png", "audio": tmp_path / "own.wav"}
    first = make_video(tmp_path / "first.mp4")
    mute = make_video(tmp_path / "mute.mp4", scenes=(BLUE, RED), tone=None)
    media = [{"video": first}, {"video": mute}, own | {"video": first}, own, {}]
    return Catalogue(Item(str(number), f"film {number}", **paths) for number, paths in enumerate(media))


def test_a_video_is_the_mean_of_its_frames_and_the_sound_of_its_track(catalogue, settings_of):
    settings = settings_of()
    raw = encode_catalogue(catalogue, settings)
    assert raw.present["image"].tolist() == [True, True, True, True, False]
    assert raw.present["audio"].tolist() == [True, False, True, True, False]
    image, audio = ImageEncoder(settings.image), AudioEncoder(settings.audio)
    for row in (0, 1):
        frames = read_frames(catalogue[row].video, 4)
        mean = image.encode([image.prepare(frame) for frame in frames]).mean(axis=0)
        np.testing.assert_allclose(raw.vectors["image"][row], mean / np.linalg.norm(mean), atol=1e-4)
    track = read_sound_track(catalogue[0].video, 300)
    np.testing.assert_allclose(raw.vectors["audio"][0], audio.encode([track])[0], atol=1e-4)


def test_a_picture_and_a_sound_of_its_own_stay_alone(catalogue, settings_of):
    raw = encode_catalogue(catalogue, settings_of())
    for modality in ("image", "audio"):
        assert np.array_equal(raw.vectors[modality][2], raw.vectors[modality][3])
        assert not np.allclose(raw.vectors[modality][2], raw.vectors[modality][0], atol=1e-3)


def test_a_sound_that_nobody_asks_for_may_have_any_codec(settings_of, tmp_path):
    path = make_video(tmp_path / "a.avi")
    path.write_bytes(path.read_bytes().replace(b"\x55\x00\x01\x00", b"\x99\x99\x01\x00"))
    catalogue = Catalogue([Item("1", "film", video=path)])
    assert encode_catalogue(catalogue, settings_of(audio=None)).present["image"].tolist() == [True]
    with pytest.raises(DataError, match="item '1'.*no decoder for the sound"):
        encode_catalogue(catalogue, settings_of())


def test_a_video_without_sound_is_said(catalogue, settings_of, caplog):
    encode_catalogue(catalogue, settings_of())
    lines = [record.getMessage() for record in caplog.records if "no sound" in record.getMessage()]
    assert len(lines) == 1 and "item '1'" in lines[0] and str(catalogue[1].video) in lines[0]
    caplog.clear()
    copied = catalogue[1].video.with_name("copied.mp4")
    shutil.copy2(catalogue[1].video, copied)
    for other in (catalogue, Catalogue([Item("7", "film", video=copied)])):
        encode_catalogue(other, settings_of())
    assert not any("no sound" in record.getMessage() for record in caplog.records)  # a file is told of once


def test_videos_are_kept_by_content_and_by_what_is_read_of_them(catalogue, settings_of):
    tallies = encode_catalogue(catalogue, settings_of()).tallies
    assert (tallies["image"].items, tallies["image"].distinct, tallies["image"].computed) == (4, 3, 3)
    tallies = encode_catalogue(catalogue, settings_of()).tallies
    assert (tallies["image"].computed, tallies["audio"].computed) == (0, 0)
    first = encode_catalogue(catalogue, settings_of())
    other = encode_catalogue(catalogue, settings_of(video_frames=1, video_seconds=1.0))
    assert (other.tallies["image"].computed, other.tallies["audio"].computed) == (2, 1)
    assert all(first.sources[m] != other.sources[m] for m in ("image", "audio"))
    assert not np.allclose(first.vectors["audio"][0], other.vectors["audio"][0], atol=1e-4)


def test_a_video_is_hashed_once_for_picture_sound_and_views_and_again_when_it_changes(
    tmp_path, settings_of, monkeypatch
):
    hashed = []

    def noting(path):
        hashed.append(path.name)
        return content_hash(path)

    monkeypatch.setattr("recommender.encoders.media_sources.content_hash", noting)
    films = Catalogue([Item("1", "film", video=make_video(tmp_path / "film.mp4", scenes=(RED,)))])
    encoders = Encoders.from_config(settings_of(views=1))
    before = encoders.encode(films)
    encoders.encode_views(films)
    assert hashed == ["film.mp4"]
    make_video(tmp_path / "film.mp4", scenes=(BLUE, RED, BLUE), tone=880.0)
    after = encoders.encode(films)
    assert hashed == ["film.mp4"] * 2
    assert not np.allclose(before.vectors["image"], after.vectors["image"])


def test_a_broken_off_run_goes_on_where_it_stopped(catalogue, settings_of):
    with pytest.raises(KeyboardInterrupt):
        encode_catalogue(catalogue, settings_of(), stopped_at("encoding image", 2))
    assert encode_catalogue(catalogue, settings_of()).tallies["image"].cached == 2


def test_what_is_said_in_a_video_is_transcribed(catalogue, settings_of, text_folder, monkeypatch):
    heard = []
    monkeypatch.setattr(AudioEncoder, "transcript", lambda self, samples: heard.append(len(samples)) or "war")
    encode_catalogue(catalogue, settings_of(transcript=True, text=str(text_folder), video_seconds=1.5))
    assert sorted(heard) == [round(0.7 * SAMPLE_RATE), round(1.5 * SAMPLE_RATE)]


def test_views_of_a_video_are_views_of_its_frames_and_track(catalogue, settings_of):
    encoders = Encoders.from_config(settings_of(views=1))
    plain, view = encoders.encode(catalogue), encoders.encode_views(catalogue)[0]
    for modality in ("image", "audio"):
        assert np.isfinite(view.vectors[modality]).all()
        assert not np.allclose(view.vectors[modality][0], plain.vectors[modality][0], atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(view.vectors["image"][:2], axis=1), 1, atol=1e-4)


@pytest.mark.parametrize("kind", ["cut", "text", "sound"])
def test_broken_videos_are_named_with_their_item(catalogue, settings_of, kind):
    path = catalogue[1].video
    if kind == "cut":
        cut_in_half(path)
    elif kind == "text":
        path.write_text("no video")
    else:
        make_video(path, scenes=())
    with pytest.raises(DataError, match="item '1'") as error:
        encode_catalogue(catalogue, settings_of())
    assert str(path) in error.value.message and error.value.hint and "\n" not in str(error.value)


def test_pyav_is_needed_only_where_a_video_is_read(catalogue, settings_of, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(RecommenderError, match=r"recommender\[video\]"):
        encode_catalogue(catalogue, settings_of())
    assert encode_catalogue(Catalogue(catalogue[2:]), settings_of()).present["image"].tolist() == [True, True, False]
    assert encode_catalogue(catalogue, settings_of(image=None, audio=None)).vectors == {}
